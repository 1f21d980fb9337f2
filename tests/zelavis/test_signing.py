"""Signed messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelavis.signing import BadSignature, sign, verify

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_published_vector_fits() -> None:
    """The signature of Standard Webhooks' own example is the one published with it."""
    headers = sign(b'{"test": 2432232314}', key=KEY, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.text(min_size=1, max_size=40))
def test_what_was_signed_is_verified(body: bytes, key: str) -> None:
    """A message signed with a key is accepted with that key, also beside others."""
    key = key.removeprefix("whsec_") or "k"
    headers = sign(body, key=key, message_id="m1")
    assert verify(body, headers, keys=["another", key]) == "m1"


@pytest.mark.parametrize(
    ("body", "changes", "keys"),
    [
        (b"other", {}, ["k"]),
        (b"body", {}, ["other"]),
        (b"body", {}, []),
        (b"body", {"webhook-id": "m2"}, ["k"]),
        (b"body", {"webhook-id": ""}, ["k"]),
        (b"body", {"webhook-timestamp": "1"}, ["k"]),
        (b"body", {"webhook-timestamp": "x"}, ["k"]),
        (b"body", {"webhook-timestamp": "²"}, ["k"]),
        (b"body", {"webhook-timestamp": "9" * 400}, ["k"]),
        (b"body", {"webhook-timestamp": "9" * 5000}, ["k"]),
        (b"body", {"webhook-signature": ""}, ["k"]),
        (b"body", {"webhook-signature": "v1,é"}, ["k"]),
        (b"body", {"webhook-signature": "v2,abc"}, ["k"]),
    ],
)
def test_anything_changed_is_refused(body: bytes, changes: dict[str, str], keys: list[str]) -> None:
    """Another body, key, id, time or signature scheme is a bad signature."""
    headers = {**sign(b"body", key="k", message_id="m1"), **changes}
    with pytest.raises(BadSignature):
        verify(body, headers, keys=keys)


def test_an_old_message_is_refused() -> None:
    """A correct signature does not help a message that is older than five minutes."""
    headers = sign(b"body", key="k", message_id="m1", timestamp=1000)
    assert verify(b"body", headers, keys=["k"], now=1299) == "m1"
    with pytest.raises(BadSignature):
        verify(b"body", headers, keys=["k"], now=1301)
