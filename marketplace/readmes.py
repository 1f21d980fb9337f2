"""READMEs as HTML that can do nothing: CommonMark without raw HTML, sanitised once more, pictures as links (F05)."""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence
from typing import Any

import nh3
from django.core.cache import cache
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

#: Characters that are rendered; the rest is left out, and the page says so.
MAX_CHARACTERS = 64_000
_TAGS = set(
    "p h3 h4 h5 h6 ul ol li blockquote pre code em strong del a br hr table thead tbody tr th td".split()  # noqa: SIM905
)
_KEPT_SECONDS = 3600


class _Renderer(RendererHTML):
    """Headings below those of the page; pictures as links to them, so that nobody is told who reads."""

    def heading_open(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        return f"<{_lower(tokens[index].tag)}>"

    def heading_close(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        return f"</{_lower(tokens[index].tag)}>\n"

    def image(self, tokens: Sequence[Token], index: int, options: Any, env: MutableMapping[str, Any]) -> str:
        token = tokens[index]
        alt = self.renderInlineAsText(token.children, options, env) if token.children else ""
        source = str(token.attrs.get("src", ""))
        text = _escape(alt or "picture")
        return f'<a href="{_escape(source)}">{text}</a>' if source.startswith(("http://", "https://")) else text


def _lower(tag: str) -> str:
    return f"h{min(6, int(tag[1]) + 2)}"


def _escape(text: str) -> str:
    return nh3.clean_text(text)


_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": 12}, renderer_cls=_Renderer).enable(
    ["table", "strikethrough"]
)


def render(text: str) -> SafeString:
    """HTML of a README; the same text is rendered once an hour."""
    key = f"readme:{hashlib.sha256(text.encode()).hexdigest()}"
    kept = cache.get(key)
    if kept is None:
        kept = _render(text[:MAX_CHARACTERS])
        cache.set(key, kept, _KEPT_SECONDS)
    return SafeString(kept)


def _render(text: str) -> str:
    clean: str = nh3.clean(
        _PARSER.render(text),
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "th": {"align"}, "td": {"align"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener ugc",
    )
    return clean
