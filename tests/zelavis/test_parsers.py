"""Request bodies."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelavis.api import parsers

plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain_text,
    lambda inner: st.lists(inner) | st.dictionaries(plain_text, inner),
    max_leaves=20,
)


@given(values, st.booleans())
def test_json_comes_through_as_it_is(value: object, escaped: bool) -> None:
    """Every JSON value, escaped or not, is read back as itself."""
    assert parsers.loads(json.dumps(value, ensure_ascii=escaped).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"[1e400]",
        b'{"a":-1e999}',
        b"9" * 5000,
        b'"\xff"',
        b'{"a":"\\ud800"}',
        b'{"\\u0000":1}',
        b"[" * 70 + b"]" * 70,
        b"[" * 200_000,
    ],
)
def test_what_is_not_strict_json_is_refused(raw: bytes) -> None:
    """Broken, non-finite, non-UTF-8, unstorable or deeply nested text is a ValueError, never a crash."""
    with pytest.raises(ValueError, match=r"."):
        parsers.loads(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No input ends in another exception than ValueError."""
    with contextlib.suppress(ValueError):
        parsers.loads(raw)
