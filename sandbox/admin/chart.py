"""Lines over time as SVG, drawn on the server; the same numbers stand in a table on the page."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WIDTH, _HEIGHT = 640, 120
Values = Sequence[float | None]


def lines(title: str, labels: Sequence[str], series: Sequence[tuple[str, Values]], *, unit: str) -> SafeString:
    """A line for each ``(name, values)``, a value a label; the first is drawn full, the others dashed.

    Where a value is ``None`` nothing was measured, and the line is broken.
    """
    top = max((value for _, values in series for value in values if value is not None), default=0.0)
    drawn = format_html_join(
        "",
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" {}>'
        "<title>{}</title></polyline>",
        (
            (points, SafeString('stroke-dasharray="6 4"') if number else "", name)
            for number, (name, values) in enumerate(series)
            for points in _pieces(values, top or 1.0)
        ),
    )
    names = ", ".join(f"{name} {'dashed' if number else 'full'}" for number, (name, _) in enumerate(series))
    return format_html(
        '<figure class="zl-chart"><figcaption>{} <span class="quiet">({}; {})</span></figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>'
        '<p class="zl-axis" aria-hidden="true"><span>{}</span><span>{}</span></p></figure>',
        title,
        names,
        f"highest: {top:.3g} {unit}" if top else "none",
        _WIDTH,
        _HEIGHT,
        title,
        drawn,
        labels[0] if labels else "",
        labels[-1] if labels else "",
    )


def _pieces(values: Values, top: float) -> list[str]:
    """The points of each unbroken piece; one that stands alone is a dash as wide as its step."""
    step = _WIDTH / max(1, len(values))
    pieces: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(((index + 0.5) * step, _HEIGHT - value / top * (_HEIGHT - 6) - 3))
    wide = [
        piece if len(piece) > 1 else [(x - step / 2 + 2, y), (x + step / 2 - 2, y)]
        for piece in pieces
        for x, y in piece[:1]
    ]
    return [" ".join(f"{x:.1f},{y:.1f}" for x, y in piece) for piece in wide]
