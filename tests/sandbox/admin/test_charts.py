"""Charts say what was measured, and nothing where nothing was."""

from __future__ import annotations

import re

from sandbox.admin import chart
from zelavis.templatetags.zelavis_ui import bars


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    """Hours without a call are gaps, not zero milliseconds; an hour between gaps is drawn too."""
    drawn = chart.lines(
        "Duration", list("abcdef"), [("p50", [1, 2, None, None, 4, None]), ("p95", [None] * 6)], unit="ms"
    )
    pieces = [points.split() for points in re.findall(r'points="([^"]+)"', drawn)]
    assert [len(piece) for piece in pieces] == [2, 2]
    heights = [[float(point.split(",")[1]) for point in piece] for piece in pieces]
    assert heights[0][0] > heights[0][1] > heights[1][0] == heights[1][1]
    assert "highest: 4 ms" in drawn
    assert "<span>a</span><span>f</span>" in drawn


def test_nothing_is_called_none() -> None:
    """Zeros and gaps have no highest value."""
    assert "(p50 full; none)" in chart.lines("Duration", ["a"], [("p50", [None])], unit="ms")
    assert "(p50 full; none)" in chart.lines("Duration", [], [("p50", [])], unit="ms")
    assert "(none)" in bars([("a", 0), ("b", 0)], "Failed")
    assert "(highest: 3)" in bars([("a", 0), ("b", 3)], "Failed")
    assert "Nothing to draw yet." in bars([])
