"""Taking secrets out of what a server answers and of what is recorded.

A server that echoes a request can echo its secret as it was sent or as it encodes texts. Known here: the text itself,
percent-encoded, in JSON's and HTML's escapes, in hexadecimal, in base64 and base64url, also as part of a longer text
that was encoded, and all of these broken into lines. Not known: what was compressed, encrypted, hashed, turned round,
changed in case, or told in pieces with other text between them. A secret is bound to a host for that reason.
"""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator

BLANK = b"[redacted]"
#: Shortest piece of an encoded secret that is looked for: shorter ones would blank what is none.
_LEAST = 6
#: Between two characters, where a text was broken into lines; also as JSON tells it.
_BREAK = rb"(?:\r?\n|\\r\\n|\\n|%0D%0A|%0A)[ \t]*"
_SIGNS = (b"\\r", b"\\n", b"%0D", b"%0A")


class Redactor:
    """Knows the forms of some secrets. An empty one changes nothing."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if secret]
        # The longest first: a form may be part of another one.
        self._forms = sorted({form for secret in known for form in _forms(secret)}, key=lambda form: -len(form))
        self._unbroken = [form for secret in known for form in _unbroken(secret)]

    def octets(self, data: bytes) -> bytes:
        """``data`` with a blank for each secret."""
        for form in self._forms:
            data = data.replace(form, BLANK)
        joined = _joined(data) if self._forms else data
        if len(joined) != len(data):
            for form in self._unbroken:
                if _joined(form) in joined:
                    data = _across_lines(form).sub(BLANK, data)
        return data

    def text(self, text: str) -> str:
        """As :meth:`octets`, for text."""
        if not self._forms:
            return text
        return self.octets(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _joined(data: bytes) -> bytes:
    """Without line breaks, however they are told, and without white space."""
    data = data.translate(None, b"\r\n\t ")
    for sign in _SIGNS:
        data = data.replace(sign, b"")
    return data


def _across_lines(form: bytes) -> re.Pattern[bytes]:
    between = b"(?:" + _BREAK + b")?"
    return re.compile(between.join(re.escape(bytes((octet,))) for octet in form))


def _forms(secret: str) -> Iterator[bytes]:
    yield from _unbroken(secret)
    plain = secret.encode()
    for safe in ("", "/", "/:@!$&'()*+,;="):
        quoted = urllib.parse.quote(plain, safe=safe)
        yield quoted.encode()
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted).encode()
        # Encoded twice, as a redirect to a redirect does.
        yield urllib.parse.quote(quoted, safe="").encode()
    yield urllib.parse.quote_plus(plain).encode()
    for digits in ("%{:02x}", "%{:02X}", "\\x{:02x}"):
        yield "".join(digits.format(octet) for octet in plain).encode()
    for inner in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield inner.encode()
        yield inner.replace("/", "\\/").encode()
        # JSON in JSON.
        yield json.dumps(inner)[1:-1].encode()
    for digits in ("\\u{:04x}", "\\u{:04X}", "&#{};", "&#x{:x};"):
        yield "".join(digits.format(ord(character)) for character in secret).encode()
    # As JSON is written into a page, by one framework or another.
    for special in ("<>&", "<>&'", "<>&'="):
        inner = json.dumps(secret)[1:-1]
        for digits in ("\\u{:04x}", "\\u{:04X}"):
            yield inner.translate({ord(one): digits.format(ord(one)) for one in special}).encode()
    escaped = html.escape(secret)
    for quote in ("&#x27;", "&#39;", "&apos;"):
        for double in ("&quot;", "&#34;"):
            yield escaped.replace("&#x27;", quote).replace("&quot;", double).encode()


def _unbroken(secret: str) -> Iterator[bytes]:
    """The forms that are also looked for across lines."""
    plain = secret.encode()
    yield plain
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for before in range(3):
        # Base64 of a longer text: three ways to fall on its groups, without the digits that hold neighbours' bits too.
        digits = base64.b64encode(bytes(before) + plain)
        inside = digits[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]
        if len(inside) >= _LEAST:
            yield inside
            yield inside.translate(bytes.maketrans(b"+/", b"-_"))
            # As base64 stands in a URL.
            yield inside.replace(b"+", b"%2B").replace(b"/", b"%2F")
