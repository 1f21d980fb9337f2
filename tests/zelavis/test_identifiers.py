"""Ids that are drawn from what they name."""

from __future__ import annotations

from zelavis import identifiers


def test_the_same_moment_gives_the_same_derived_id() -> None:
    """Ids drawn from the same parts and moment are one; other parts or moments are others."""
    first = identifiers.derive("inv", "evt_1", "alpha", now_ms=5)
    assert first == identifiers.derive("inv", "evt_1", "alpha", now_ms=5)
    assert (
        len(
            {
                first,
                identifiers.derive("inv", "evt_1", "beta", now_ms=5),
                identifiers.derive("inv", "evt_1alpha", "", now_ms=5),
            }
        )
        == 3
    )
