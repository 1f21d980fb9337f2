"""Lines over time as SVG, drawn on the server; the same numbers stand in a table on the page."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WIDTH, _HEIGHT = 640, 120


def lines(title: str, series: Sequence[tuple[str, Sequence[float]]], *, unit: str) -> SafeString:
    """A line for each ``(name, values)``; the first is drawn full, the others dashed, each named at its end."""
    top = max((value for _, values in series for value in values), default=0.0) or 1.0
    drawn = format_html_join(
        "",
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="2" {}><title>{}</title></polyline>',
        (
            (
                " ".join(
                    f"{index * _WIDTH / max(1, len(values) - 1):.1f},{_HEIGHT - value / top * (_HEIGHT - 6) - 3:.1f}"
                    for index, value in enumerate(values)
                ),
                SafeString('stroke-dasharray="6 4"') if number else "",
                name,
            )
            for number, (name, values) in enumerate(series)
        ),
    )
    names = ", ".join(f"{name} {'dashed' if number else 'full'}" for number, (name, _) in enumerate(series))
    return format_html(
        '<figure class="zl-chart"><figcaption>{} <span class="quiet">({}; highest: {} {})</span></figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg></figure>',
        title,
        names,
        f"{top:.3g}",
        unit,
        _WIDTH,
        _HEIGHT,
        title,
        drawn,
    )
