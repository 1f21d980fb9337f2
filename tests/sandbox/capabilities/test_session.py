"""The session: every host call is checked, counted and recorded."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.capabilities import registry, wire
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.capabilities.faults import CommitError
from sandbox.limits import Limits
from tests.sandbox.capabilities.harness import KV, NOW, ask, code_of, make


def test_d01_what_was_not_granted_is_denied() -> None:
    """D01: a capability without a grant answers capability_denied, counted as a refusal."""
    session = make({})
    assert code_of(session, "kv", "get", "a") == "capability_denied"
    assert [(one.capability, one.code) for one in session.refusals] == [("kv", "capability_denied")]
    assert session.host_calls == 1


def test_unknown_capabilities_and_operations_are_told_apart() -> None:
    """An import nobody offers is refused; an operation nobody offers is a fault; neither is looked up by attribute."""
    session = make()
    assert code_of(session, "nope", "get") == "unknown_capability"
    for op in ("nope", "__init__", "commit", "_stage"):
        assert code_of(session, "kv", op, "a") == "unknown_operation"


def test_d02_a_grant_taken_during_a_call_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """D02: the next host call after a revocation is denied."""
    taken: list[str] = []
    monkeypatch.setattr(registry, "REVOCATIONS", [lambda call: taken])
    session = make()
    ask(session, "kv", "get", "a")
    taken.append("kv")
    time.sleep(0.11)
    assert code_of(session, "kv", "get", "a") == "capability_denied"
    ask(session, "log", "info", "still here")


def test_host_calls_are_limited() -> None:
    """Beyond the limit of host calls every further one is refused, log lines not counted."""
    session = make(limits=Limits(host_calls=3))
    for _ in range(3):
        ask(session, "log", "info", "x")
        ask(session, "kv", "get", "a")
    assert code_of(session, "kv", "get", "a") == "host_calls_exceeded"
    assert session.host_calls == 4


def test_calls_of_a_capability_are_limited() -> None:
    """callsPerInvocation of the manifest ends a capability, others go on."""
    session = make({"kv": {"reason": "t", "callsPerInvocation": 2}})
    ask(session, "kv", "get", "a")
    ask(session, "kv", "get", "a")
    assert code_of(session, "kv", "get", "a") == "calls_exceeded"
    ask(session, "crypto", "randomBytes", 4)


def test_an_operator_may_lower_every_quantity(settings: Any) -> None:
    """A ceiling in the settings beats what the manifest asks for."""
    settings.SANDBOX_CEILINGS = {"kv": {"callsPerInvocation": 1}}
    session = make({"kv": {"reason": "t", "callsPerInvocation": 100}})
    ask(session, "kv", "get", "a")
    assert code_of(session, "kv", "get", "a") == "calls_exceeded"


def test_bytes_are_limited_in_both_directions() -> None:
    """Requests and answers together end at the limit of host bytes."""
    backend = MemoryBackend()
    writer = make(backend=backend)
    ask(writer, "kv", "set", "a", "x" * 1000)
    writer.commit()
    session = make(backend=backend, limits=Limits(host_bytes=1500))
    ask(session, "kv", "get", "a")
    assert code_of(session, "kv", "get", "a") == "host_bytes_exceeded"
    assert code_of(session, "kv", "set", "b", "y" * 2000) == "host_bytes_exceeded"


def test_log_bytes_are_limited_with_a_marker() -> None:
    """B10: a flood of lines is cut at the limit, says so once, and costs the call nothing else."""
    session = make(limits=Limits(log_bytes=100))
    for number in range(500):
        ask(session, "log", "info", f"line {number} " + "x" * 20)
    assert sum(len(line.message) for line in session.logs[:-1]) <= 100
    assert "full" in session.logs[-1].message
    assert len(session.logs) < 6
    assert session.host_calls == 0


def test_i08_log_lines_cannot_be_faked() -> None:
    """I08: newlines, terminal codes and direction marks arrive as visible escapes."""
    session = make()
    ask(session, "log", "warn", "a\nERROR b\x1b[31m\u202ec\u0000", {"k": "v\n"})
    assert session.logs[0].message == 'a\\nERROR b\\u001b[31m\\u202ec\\u0000 {"k":"v\\n"}'
    assert session.logs[0].level == "warn"


def test_time_is_up_for_host_calls_too() -> None:
    """A call whose deadline has passed gets no further host call."""
    session = make(seconds=-1)
    assert code_of(session, "kv", "get", "a") == "deadline"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"kv"',
        b'{"op": 1, "args": []}',
        b'{"op": "get", "args": {}}',
        b'{"op": "get", "args": ["a"], "more": 1}',
        b'{"op": "get", "op": "set", "args": ["a"]}',
        b'{"op": "set", "args": ["a", NaN]}',
        b'{"op": "set", "args": ["a", Infinity]}',
        b'{"op": "set", "args": ["a", 1e999]}',
        b'{"op": "set", "args": ["a", 99999999999999999999999999999999999999]}',
        b'{"op": "set", "args": ["a", "\\ud800"]}',
        b'{"op": "set", "args": ["a", "\xff"]}',
        b'{"op": "set", "args": ["a", "\xc0\x80"]}',
        b'{"op": "set", "args": ["a", "\xed\xa0\x80"]}',
        b'\xef\xbb\xbf{"op": "get", "args": ["a"]}',
        b'{"op": "set", "args": ["a", "x\x00y"]}',
        b'{"op": "get", "args": ["a"]} x',
        b'{"op": "set", "args": ["a", ' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"op": "set", "args": ["a", ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"]}",
    ],
)
def test_c06_requests_are_strict_json(request_bytes: bytes) -> None:
    """C06, B11: what is not strict UTF-8 and JSON of bounded depth is invalid_request, and nothing is written."""
    session = make()
    answer = json.loads(session.dispatch("kv", request_bytes))
    assert answer["code"] == "invalid_request"
    assert session.host_error is None
    ask(session, "kv", "get", "a")


def test_escaped_pairs_are_text() -> None:
    """A whole surrogate pair in escapes is one character and is accepted."""
    session = make()
    session.dispatch("kv", b'{"op":"set","args":["a","\\ud83d\\ude00"]}')
    assert ask(session, "kv", "get", "a") == "😀"


class _Broken(MemoryBackend):
    """A backend whose storage has gone away."""

    def usage(self, plugin: str, store: str) -> tuple[int, int]:
        raise RuntimeError("secret /etc/path")

    def transaction(self) -> Any:
        raise RuntimeError("secret /etc/path")


def test_c07_host_failures_do_not_leak() -> None:
    """C07: an unexpected exception reaches the operator in full and the guest as a code alone."""
    session = make(backend=_Broken())
    answer = session.dispatch("kv", b'{"op":"set","args":["a",1]}')
    assert json.loads(answer)["code"] == "host_error"
    assert b"/etc/path" not in answer
    assert session.host_error is not None
    assert "/etc/path" in session.host_error
    assert code_of(session, "log", "info", "x") == "host_error"


def test_a_failing_commit_is_an_error_of_the_host() -> None:
    """A commit that storage refuses raises CommitError without details and keeps them for the operator."""
    backend = _Broken()
    session = make(backend=backend)
    session.dispatch("kv", b'{"op":"delete","args":["a"]}')
    with pytest.raises(CommitError) as caught:
        session.commit()
    assert "/etc" not in caught.value.message
    assert session.host_error is not None
    assert "/etc/path" in session.host_error


def test_the_transcript_holds_what_crossed() -> None:
    """Every counted host call stands in the transcript with request, answer and whether it was refused."""
    session = make({"kv": {"reason": "t", "callsPerInvocation": 1}})
    ask(session, "kv", "get", "a")
    code_of(session, "kv", "get", "b")
    assert [(one.family, one.op, one.refused) for one in session.transcript] == [
        ("kv", "get", False),
        ("kv", "get", True),
    ]
    assert session.transcript[0].answer == b'{"value":null}'
    assert json.loads(session.transcript[1].answer)["code"] == "calls_exceeded"


def test_refused_calls_do_not_fill_the_memory() -> None:
    """What a flood of large refused requests leaves in the host is bounded, and so are invented names."""
    session = make(limits=Limits(host_bytes=2_000_000))
    for number in range(50):
        session.dispatch("kv", b"x" * 1_000_000)
        session.dispatch(f"nope{number}", b"{}")
    assert session.host_calls == 100
    assert sum(len(one.request) for one in session.transcript) < 6 << 20
    assert len(session._gates) == 1


def test_calls_an_hour_are_counted(backend: Any) -> None:
    """callsPerHour ends the capability until the next hour, across calls, failed ones included."""
    grants = {"kv": {"reason": "t", "callsPerHour": 3}}
    first = make(grants, backend=backend)
    ask(first, "kv", "get", "a")
    ask(first, "kv", "get", "a")
    first.discard()
    second = make(grants, backend=backend)
    ask(second, "kv", "get", "a")
    assert code_of(second, "kv", "get", "a") == "quota_exceeded"
    second.commit()
    assert code_of(make(grants, backend=backend), "kv", "get", "a") == "quota_exceeded"
    assert ask(make(grants, backend=backend, now_ms=NOW + 3_600_000), "kv", "get", "a") is None


def test_an_overlapping_call_can_catch_the_end_of_the_hour(backend: Any) -> None:
    """Of two calls at once the second is refused where it asks, can catch that, and keeps what it wrote before."""
    grants = {"kv": {"reason": "t", "callsPerHour": 3}}
    first, second = make(grants, backend=backend), make(grants, backend=backend, id="inv_2")
    ask(first, "kv", "set", "a", 1)
    ask(second, "kv", "set", "b", 1)
    ask(first, "kv", "set", "c", 1)
    assert code_of(second, "kv", "set", "d", 1) == "quota_exceeded"
    first.commit()
    second.commit()
    reader = make(backend=backend)
    assert [ask(reader, "kv", "get", key) for key in "abcd"] == [1, 1, 1, None]


def test_random_bytes_come_from_the_seed() -> None:
    """The same call draws the same bytes, another call other ones."""
    first, again, other = make(), make(), make(id="inv_2")
    drawn = [ask(session, "crypto", "randomBytes", 16) for session in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert ask(first, "crypto", "randomBytes", 16) != drawn[0]


def test_digests_are_the_known_ones() -> None:
    """Digest and HMAC give the published test values, for text and for base64."""
    session = make()
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert ask(session, "crypto", "digest", "SHA-256", "") == empty
    assert ask(session, "crypto", "digest", "SHA-256", "", "base64") == empty
    assert ask(session, "crypto", "hmac", "SHA-256", "key", "The quick brown fox jumps over the lazy dog") == (
        "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    )
    assert code_of(session, "crypto", "digest", "md5", "") == "invalid_argument"
    assert code_of(session, "crypto", "digest", "SHA-256", "%%", "base64") == "invalid_argument"


def test_every_capability_is_described() -> None:
    """Each capability has a summary, a risk, a valid schema, and a signature and text for every operation."""
    import jsonschema

    for capability in registry.all_capabilities():
        assert capability.summary.endswith(".")
        assert capability.risk.endswith(".")
        assert capability.risk_level in ("low", "medium", "high")
        jsonschema.Draft202012Validator.check_schema(capability.schema())
        assert capability.operations
        for operation in capability.operations.values():
            assert operation.signature.startswith(operation.name + "(")
            assert operation.text.endswith(".")


@given(st.binary(max_size=400))
def test_random_bytes_never_break_a_session(data: bytes) -> None:
    """I10: whatever bytes a guest sends, it gets a typed JSON answer and the session stays whole."""
    session = make(KV)
    for family in ("kv", "log", "crypto", "nope"):
        answer = json.loads(session.dispatch(family, data))
        assert set(answer) in ({"value"}, {"error", "code"})
    assert session.host_error is None


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["get", "set", "delete", "list", "increment", "compareAndSet"]), st.lists(_json, max_size=5))
def test_random_arguments_never_break_kv(op: str, args: list[Any]) -> None:
    """I10: any JSON as arguments of kv is carried out or refused, never an error of the host."""
    session = make(KV)
    for _ in range(2):
        session.dispatch("kv", wire.encode({"op": op, "args": args}).encode("utf-8", "surrogatepass"))
    assert session.host_error is None
    session.commit()
