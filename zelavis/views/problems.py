"""``/problems/:code``: what the ``type`` of an error leads to, read from docs/reference/errors.md."""

from __future__ import annotations

import re
from functools import cache

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt

_ENTRY = re.compile(r"^### `(?P<code>\w+)`\n(?P<text>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
#: Links between the pages of the documentation lead nowhere from here; their words stay.
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@cache
def texts() -> dict[str, str]:
    """What each code means and how to mend it, in Markdown, by code."""
    page = (settings.BASE_DIR / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    return {found["code"]: _LINK.sub(r"\1", found["text"]).strip() for found in _ENTRY.finditer(page)}


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Every code there is."""
    return render(request, "problems.html", {"codes": sorted(texts()), "query": {}})


@require_safe
def problem(request: HttpRequest, code: str) -> HttpResponse:
    """One code: its status, its cause, its cure."""
    text = texts().get(code)
    if text is None:
        raise Http404
    return render(request, "problem.html", {"code": code, "text": MarkdownIt("js-default").render(text), "query": {}})
