"""The few pieces every admin screen is made of: a state, a moment, a JSON value, a chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

#: Every state shown anywhere, by how much it asks for attention. An unknown state is shown plainly.
TONES = {
    "good": (
        "active installed deployed approved completed ok pass passed official listed fresh matched resolved closed "
        "compensated healthy"
    ),
    "busy": "pending deploying running submitted in_review waiting inactive queued half_open delivering claimed",
    "warn": (
        "changes_requested available yanked deprecated rejected cancelled skipped paused warning medium stale "
        "inconclusive buffered busy withdrawn blocked"
    ),
    "bad": (
        "failed quarantined deadline memory fuel trap output_invalid output_too_large capability_denied host_error "
        "error high critical dead open revoked expired compensation_failed taken_down overdue missing"
    ),
}
_TONE_OF = {state: tone for tone, states in TONES.items() for state in states.split()}
#: A shape for each tone, so that colour is never the only sign.
_SHAPES = {"good": "●", "busy": "◐", "warn": "◆", "bad": "▲", "plain": "○"}
_LONGEST = 20_000


@register.simple_tag
def badge(state: object, label: str = "") -> SafeString:
    """A state as shape, word and colour."""
    word = str(state)
    tone = _TONE_OF.get(word.lower(), "plain")
    return format_html(
        '<span class="zl-badge zl-{}"><span aria-hidden="true">{}</span> {}</span>',
        tone,
        _SHAPES[tone],
        label or word.replace("_", " "),
    )


@register.simple_tag
def ago(moment: datetime | None, nothing: str = "never") -> SafeString:
    """A moment relative to now; the exact UTC time is in the title and in ``datetime``."""
    if moment is None:
        return format_html('<span class="quiet">{}</span>', nothing)
    seconds = (timezone.now() - moment).total_seconds()
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        moment.strftime("%Y-%m-%d %H:%M:%S.%f UTC"),
        _distance(seconds),
    )


def _distance(seconds: float) -> str:
    size = abs(seconds)
    if size < 1:
        return "now"
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h"), (float("inf"), 86_400, "days")):
        if size < limit:
            words = f"{size / divisor:.0f} {unit}"
            break
    return f"{words} ago" if seconds > 0 else f"in {words}"


@register.filter
def milliseconds(value: float | None) -> str:
    """A duration: ``0.42 ms``, ``12 ms``, ``3.1 s``. Of whole milliseconds no parts are known."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    if isinstance(value, int):
        return f"{value} ms" if value else "< 1 ms"
    if value < 0.005:
        return "< 0.01 ms"
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


@register.filter
def in_words(value: Any) -> str:
    """A quantity of a grant: lists by commas, truth as yes or no, members as ``name value``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {in_words(member)}" for name, member in value.items())
    if isinstance(value, list):
        return ", ".join(in_words(member) for member in value)
    return str(value)


@register.simple_tag
def pretty_json(value: Any) -> SafeString:
    """A JSON value, or JSON text, indented; cut at 20,000 characters, and it says so."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return format_html('<pre class="zl-json">{}</pre>', value[:_LONGEST])
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    note = f"\n… {len(text) - _LONGEST:,} more characters" if len(text) > _LONGEST else ""
    return format_html('<pre class="zl-json" tabindex="0">{}{}</pre>', text[:_LONGEST], note)


@register.simple_tag
def bars(points: Sequence[tuple[str, float]], title: str = "", unit: str = "") -> SafeString:
    """A bar chart as SVG from ``(label, value)`` pairs; the same numbers follow as a table for screen readers."""
    if not points:
        return mark_safe('<p class="zl-empty">Nothing to draw yet.</p>')
    width, height, gap = 640, 120, 4
    top = max(value for _, value in points)
    step = width / len(points)
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}: {}{}</title></rect>',
        (
            (
                f"{index * step + gap / 2:.1f}",
                f"{height - max(value / (top or 1) * height, 1):.1f}",
                f"{max(step - gap, 1):.1f}",
                f"{max(value / (top or 1) * height, 1):.1f}",
                label,
                f"{value:g}",
                unit,
            )
            for index, (label, value) in enumerate(points)
        ),
    )
    rows = format_html_join(
        "", "<tr><th scope='row'>{}</th><td>{}{}</td></tr>", ((a, f"{b:g}", unit) for a, b in points)
    )
    return format_html(
        '<figure class="zl-chart"><figcaption>{} <span class="quiet">({})</span></figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>'
        '<p class="zl-axis" aria-hidden="true"><span>{}</span><span>{}</span></p>'
        '<table class="visually-hidden"><caption>{}</caption>{}</table></figure>',
        title,
        f"highest: {top:g}{unit}" if top else "none",
        width,
        height,
        title or "Bar chart",
        drawn,
        points[0][0],
        points[-1][0],
        title,
        rows,
    )


@register.filter
def plain(value: object) -> str:
    """Text with its invisible and direction-changing characters shown as escapes, then HTML-escaped."""
    shown = "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in str(value)
    )
    return escape(shown)
