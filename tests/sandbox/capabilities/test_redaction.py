"""Secrets that come back in other clothes."""

from __future__ import annotations

import base64
import html
import json
import textwrap
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.capabilities.redaction import BLANK, Redactor

SECRET = 's3cr/t+"välue"&<0123>=='

#: How a server may tell a text that it got.
CLOTHES: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, slashes left": urllib.parse.quote,
    "percent, lower case": lambda text: "".join(f"%{octet:02x}" for octet in text.encode()),
    "percent, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "form": urllib.parse.quote_plus,
    "JSON": json.dumps,
    "JSON, not only ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON, escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON in a page": lambda text: (
        json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    ),
    "HTML": html.escape,
    "HTML, numbers": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, upper case": lambda text: text.encode().hex().upper(),
    "hexadecimal, in lines": lambda text: "\n".join(textwrap.wrap(text.encode().hex(), 20)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in lines": lambda text: base64.encodebytes(text.encode() * 4).decode(),
    "base64 in a URL": lambda text: urllib.parse.quote(base64.b64encode(text.encode()).decode(), safe=""),
    "in lines": lambda text: "\r\n ".join(textwrap.wrap(text, 7)),
}


@pytest.mark.parametrize("name", CLOTHES)
@pytest.mark.parametrize("around", ["{}", "Bearer {}", "user:{}", "x{}y", "({})", "78{}9"])
def test_d06_a_secret_is_found_in_every_dress(name: str, around: str) -> None:
    """D06: each form is blanked, wherever it begins in the text that was encoded, and leaves no piece worth having."""
    text = CLOTHES[name](around.format(SECRET))
    told = Redactor([SECRET]).octets(text.encode()).decode()
    assert "[redacted]" in told
    rest = told.replace("[redacted]", "")
    for encode in CLOTHES.values():
        whole = encode(SECRET)
        assert not any(whole[at : at + 12] in rest for at in range(len(whole) - 11))


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=6, max_size=40).filter(lambda text: text.strip()),
    st.text(max_size=20),
    st.sampled_from(sorted(set(CLOTHES) - {"in lines", "HTML, numbers"})),
)
def test_d06_any_secret_is_found(secret: str, before: str, name: str) -> None:
    """D06: whatever the operator set, its encoded form does not come through."""
    before = before.encode("utf-8", "ignore").decode()
    text = CLOTHES[name](before + secret)
    assert BLANK in Redactor([secret]).octets(text.encode())


@given(st.binary(max_size=300))
def test_what_is_no_secret_is_left_alone(data: bytes) -> None:
    """Bytes that hold no form of the secret come through as they are."""
    assert Redactor([SECRET]).octets(data) == data
    assert Redactor([]).octets(data) == data


def test_secrets_that_hold_each_other() -> None:
    """Of two secrets of which one is a part of the other, both are taken out whole."""
    assert Redactor(["abcdefgh", "abcdefghijkl"]).text("abcdefghijkl abcdefgh") == "[redacted] [redacted]"
