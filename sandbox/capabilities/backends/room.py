"""Whether a store may grow."""

from __future__ import annotations

from sandbox.capabilities.faults import CommitQuotaExceeded


def check_room(
    before: tuple[int, int], after: tuple[int, int], *, most_bytes: int, most_count: int, store: str, noun: str
) -> None:
    """Refuse to grow beyond a quota; shrinking is always possible. Pairs are count and bytes.

    Raises:
        CommitQuotaExceeded: it would.
    """
    if after[0] > most_count and after[0] > before[0]:
        raise CommitQuotaExceeded(f"{store}: {most_count} {noun} are used up.")
    if after[1] > most_bytes and after[1] > before[1]:
        raise CommitQuotaExceeded(f"{store}: {most_bytes} stored bytes are used up.")
