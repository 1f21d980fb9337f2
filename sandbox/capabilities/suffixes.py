"""Names under which anybody can have a name: the public suffix list, as it came with the pinned package.

A wildcard over such names would limit nothing, so a manifest may not declare one. Nothing is fetched; a newer list
comes with a newer package.
"""

from __future__ import annotations

import functools
from pathlib import Path

from publicsuffixlist import PSLFILE, PublicSuffixList

#: Not in the list: services that answer every name below theirs with the address that the name spells.
_SPELLED = frozenset(["nip.io", "sslip.io", "xip.io", "traefik.me", "lvh.me", "localtest.me", "vcap.me"])


@functools.lru_cache(maxsize=4096)
def is_shared(name: str) -> bool:
    """Whether anybody can have a name somewhere below ``name``: it is a public suffix, or one lies below it."""
    if name in _SPELLED or name in _above():
        return True
    # A top-level domain that the list does not know counts as one.
    return bool(_suffixes().is_public(name))


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=True)


@functools.cache
def _above() -> frozenset[str]:
    """Every name above a public suffix: ``amazonaws.com`` is none, and ``s3.amazonaws.com`` is."""
    found: set[str] = set()
    with Path(PSLFILE).open(encoding="utf-8") as file:
        for line in file:
            rule = line.split(" ")[0].strip().lower()
            if not rule or rule.startswith(("//", "!")):
                continue
            labels = rule.removeprefix("*.").encode("idna").decode("ascii").split(".")
            # The rule ``*.ck`` makes every name below ``ck`` a suffix, and so ``ck`` one above.
            start = 0 if rule.startswith("*.") else 1
            found.update(".".join(labels[at:]) for at in range(start, len(labels)))
    return frozenset(found)
