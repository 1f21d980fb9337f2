"""How the admin shows numbers: as exactly as they are known."""

from __future__ import annotations

import pytest

from sandbox.capabilities.base import amount, size
from zelavis.templatetags.zelavis_ui import milliseconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (0, "< 1 ms"), (2, "2 ms"), (1234, "1.2 s"),
        (0.001, "< 0.01 ms"), (0.424, "0.42 ms"), (12.4, "12 ms"), (3100.0, "3.1 s"),
    ],
)  # fmt: skip
def test_durations(value: float | None, shown: str) -> None:
    """Whole milliseconds have no decimals, and none of them is not nothing; measured ones have two."""
    assert milliseconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(900, "900 bytes"), (1536, "1.5 KiB"), (1 << 20, "1 MiB"), (3 << 30, "3,072 MiB"), ("many", "many bytes")],
)
def test_sizes(value: object, shown: str) -> None:
    """Bytes of a grant are in the unit that people think in."""
    assert size(value) == shown


def test_amounts() -> None:
    """Thousands are told apart; what is no number stays as it was written."""
    assert (amount(100_000), amount(7), amount("all")) == ("100,000", "7", "all")
