"""Names of plugins that read alike (hostile row G12)."""

from __future__ import annotations

#: What a hurried reader takes for each other, in the alphabet that names are made of.
_FOLD = str.maketrans({"0": "o", "1": "l", "i": "l", "3": "e", "5": "s", "-": ""})
#: Beginnings that claim something about the publisher.
RESERVED_PREFIXES = ("official-", "verified-", "zelavis-")
RESERVED = frozenset(
    "admin api www plugins plugin marketplace registry zelavis official support security system root "  # noqa: SIM905
    "static".split()
)


def skeleton(name: str) -> str:
    """The name with look-alikes folded: equal skeletons read alike."""
    return name.translate(_FOLD).replace("rn", "m").replace("vv", "w").replace("cl", "d")


def distance(one: str, two: str, *, most: int) -> int:
    """Number of edits (insert, delete, replace, swap of neighbours) between two names; ``most + 1`` when more."""
    if abs(len(one) - len(two)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, b in enumerate(two, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
