"""``kv``: values of one plugin, buffered during the call."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.capabilities.backends.database import DatabaseBackend
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.capabilities.faults import CommitConflict, CommitQuotaExceeded
from sandbox.errors import CommitError
from tests.sandbox.capabilities.harness import NOW, ask, code_of, make


def test_a_value_lives_from_call_to_call(backend: Any) -> None:
    """What a committed call set is what the next call gets, with the order of keys kept."""
    session = make(backend=backend)
    ask(session, "kv", "set", "a", {"z": 1, "a": [True, "ü", 1.5]})
    session.commit()
    value = ask(make(backend=backend), "kv", "get", "a")
    assert value == {"z": 1, "a": [True, "ü", 1.5]}
    assert list(value) == ["z", "a"]


def test_a_call_reads_its_own_writes(backend: Any) -> None:
    """Within a call, get, list and delete see what it wrote; nobody else does before it ends."""
    session = make(backend=backend)
    ask(session, "kv", "set", "a", 1)
    ask(session, "kv", "set", "b", 2)
    assert ask(session, "kv", "delete", "a") is True
    assert ask(session, "kv", "delete", "a") is False
    assert ask(session, "kv", "get", "a") is None
    assert ask(session, "kv", "list")["items"] == [{"key": "b", "value": 2}]
    assert ask(make(backend=backend), "kv", "get", "b") is None


def test_a_discarded_call_leaves_nothing(backend: Any) -> None:
    """Writes of a call that failed vanish."""
    session = make(backend=backend)
    ask(session, "kv", "set", "a", 1)
    session.discard()
    session.commit()
    assert ask(make(backend=backend), "kv", "get", "a") is None


def test_plugins_do_not_see_each_other(backend: Any) -> None:
    """The same key of two plugins is two values (D03)."""
    session = make(backend=backend, plugin="one")
    ask(session, "kv", "set", "a", 1)
    session.commit()
    other = make(backend=backend, plugin="two")
    assert ask(other, "kv", "get", "a") is None
    assert ask(other, "kv", "list")["items"] == []


def test_expired_values_are_gone(backend: Any) -> None:
    """A value with a time to live is absent from then on, to get and to list."""
    session = make(backend=backend)
    ask(session, "kv", "set", "a", 1, {"ttlSeconds": 10})
    session.commit()
    assert ask(make(backend=backend, now_ms=NOW + 9_999), "kv", "get", "a") == 1
    late = make(backend=backend, now_ms=NOW + 10_000)
    assert ask(late, "kv", "get", "a") is None
    assert ask(late, "kv", "list")["items"] == []


def test_counters_add_up_under_overlap(backend: Any) -> None:
    """Two calls that add to one counter at the same time both count."""
    first, second = make(backend=backend), make(backend=backend)
    assert ask(first, "kv", "increment", "n") == 1
    assert ask(first, "kv", "increment", "n", 4) == 5
    assert ask(second, "kv", "increment", "n", 10) == 10
    first.commit()
    second.commit()
    assert ask(make(backend=backend), "kv", "get", "n") == 15


def test_sums_of_overlapping_calls_stay_exact(backend: Any) -> None:
    """Two calls that each may add, and together would pass what JavaScript counts exactly: the later one conflicts."""
    most = 2**53 - 1
    session = make(backend=backend)
    ask(session, "kv", "set", "n", most - 5)
    session.commit()
    first, second = make(backend=backend), make(backend=backend)
    assert ask(first, "kv", "increment", "n", 3) == most - 2
    assert ask(second, "kv", "increment", "n", 5) == most
    first.commit()
    with pytest.raises(CommitConflict):
        second.commit()
    assert ask(make(backend=backend), "kv", "get", "n") == most - 2


def test_increment_refuses_what_is_no_number(backend: Any) -> None:
    """Text cannot be added to, and a sum beyond exact whole numbers is refused."""
    session = make(backend=backend)
    ask(session, "kv", "set", "a", "text")
    assert code_of(session, "kv", "increment", "a") == "not_a_number"
    ask(session, "kv", "set", "b", 2**53 - 1)
    assert code_of(session, "kv", "increment", "b") == "not_a_number"


def test_compare_and_set_tells_who_was_first(backend: Any) -> None:
    """A call whose comparison no longer holds when it ends fails with a conflict, and stores nothing."""
    first, second = make(backend=backend), make(backend=backend)
    assert ask(first, "kv", "compareAndSet", "a", None, 1) is True
    assert ask(second, "kv", "compareAndSet", "a", None, 2) is True
    ask(second, "kv", "set", "b", 2)
    first.commit()
    with pytest.raises(CommitConflict):
        second.commit()
    third = make(backend=backend)
    assert ask(third, "kv", "get", "b") is None
    assert ask(third, "kv", "compareAndSet", "a", 2, 3) is False
    assert ask(third, "kv", "compareAndSet", "a", 1, 3) is True
    third.commit()
    assert ask(make(backend=backend), "kv", "get", "a") == 3


def test_true_is_not_one(backend: Any) -> None:
    """Comparison is by JSON value: true and 1 differ, and key order does not matter."""
    session = make(backend=backend)
    ask(session, "kv", "set", "a", bool(1))
    assert ask(session, "kv", "compareAndSet", "a", 1, 2) is False
    ask(session, "kv", "set", "b", {"x": 1, "y": 2})
    assert ask(session, "kv", "compareAndSet", "b", {"y": 2, "x": 1}, 3) is True


def test_list_pages_in_byte_order(backend: Any) -> None:
    """A cursor visits every key once, in the order of its bytes, own writes included."""
    keys = ["A", "Z", "a", "a/b", "a_b", "a%b", "b", "é", "日"]
    session = make(backend=backend)
    for key in keys[::2]:
        ask(session, "kv", "set", key, key)
    session.commit()
    session = make(backend=backend)
    for key in keys[1::2]:
        ask(session, "kv", "set", key, key)
    seen: list[str] = []
    cursor = None
    while True:
        page = ask(session, "kv", "list", {"limit": 2, "cursor": cursor})
        seen += [item["key"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == sorted(keys)


def test_prefix_takes_wildcards_literally(backend: Any) -> None:
    """Percent and underscore in a prefix are characters, and case matters."""
    session = make(backend=backend)
    for key in ("a_1", "ab1", "A_1", "a%1"):
        ask(session, "kv", "set", key, 0)
    session.commit()
    after = make(backend=backend)
    assert [item["key"] for item in ask(after, "kv", "list", "a_")["items"]] == ["a_1"]
    assert [item["key"] for item in ask(after, "kv", "list", {"prefix": "a"})["items"]] == ["a%1", "a_1", "ab1"]


@pytest.mark.parametrize(
    "key",
    ["", "a\x00b", "a\nb", "x" * 513, "é" * 257, "a\u200bb", "\u202eabc", "e\u0301", 7, None, ["a"], "\U0010ffff"],
)
def test_d03_keys_have_a_grammar(backend: Any, key: Any) -> None:
    """D03: a key that is empty, too long, not printable, not normalised or no text is refused and stores nothing."""
    session = make(backend=backend)
    assert code_of(session, "kv", "set", key, 1) == "invalid_key"
    assert code_of(session, "kv", "get", key) == "invalid_key"


def test_d04_bytes_and_keys_are_limited(backend: Any) -> None:
    """D04: both the number of keys and the stored bytes end at their quantity, with a refusal the guest can catch."""
    grants = {"kv": {"reason": "t", "bytes": 100, "keys": 3, "callsPerInvocation": 100}}
    session = make(grants, backend=backend)
    for key in "abc":
        ask(session, "kv", "set", key, 1)
    assert code_of(session, "kv", "set", "d", 1) == "quota_exceeded"
    assert code_of(session, "kv", "set", "a", "x" * 100) == "quota_exceeded"
    assert [refusal.code for refusal in session.refusals] == ["quota_exceeded"] * 2
    ask(session, "kv", "delete", "a")
    ask(session, "kv", "set", "d", 1)
    session.commit()
    after = make(grants, backend=backend)
    assert [item["key"] for item in ask(after, "kv", "list")["items"]] == ["b", "c", "d"]
    assert code_of(after, "kv", "set", "e", 1) == "quota_exceeded"
    assert backend.usage("one", "kv") == (3, 6)


def test_a_full_store_can_be_emptied(backend: Any) -> None:
    """A plugin whose quantity was lowered below what it keeps can still delete, and not grow."""
    session = make(backend=backend)
    for key in "abcd":
        ask(session, "kv", "set", key, "x" * 50)
    session.commit()
    small = {"kv": {"reason": "t", "bytes": 60}}
    session = make(small, backend=backend)
    ask(session, "kv", "delete", "a")
    session.commit()
    session = make(small, backend=backend)
    assert code_of(session, "kv", "set", "z", 1) == "quota_exceeded"
    assert backend.usage("one", "kv")[0] == 3


def test_quota_is_decided_when_the_call_ends(backend: Any) -> None:
    """Two calls that each fit but not both: the second one fails as a whole."""
    grants = {"kv": {"reason": "t", "keys": 1}}
    first, second = make(grants, backend=backend), make(grants, backend=backend)
    ask(first, "kv", "set", "a", 1)
    ask(second, "kv", "set", "b", 1)
    first.commit()
    with pytest.raises(CommitQuotaExceeded):
        second.commit()
    assert [item["key"] for item in ask(make(backend=backend), "kv", "list")["items"]] == ["a"]


def test_expired_values_make_room(backend: Any) -> None:
    """A store that is full of expired values takes new ones."""
    grants = {"kv": {"reason": "t", "keys": 1}}
    session = make(grants, backend=backend)
    ask(session, "kv", "set", "a", 1, {"ttlSeconds": 1})
    session.commit()
    session = make(grants, backend=backend, now_ms=NOW + 2000)
    ask(session, "kv", "set", "a", 2, {"ttlSeconds": 1})
    session.commit()
    assert backend.usage("one", "kv") == (1, 2)


def test_values_are_bounded(backend: Any) -> None:
    """A value above 64 KiB of JSON is refused, and null is not a value."""
    session = make(backend=backend)
    assert code_of(session, "kv", "set", "a", "x" * 65_536) == "value_too_large"
    assert code_of(session, "kv", "set", "a", None) == "invalid_argument"
    assert code_of(session, "kv", "set", "a") == "invalid_argument"
    assert code_of(session, "kv", "set", "a", 1, {"ttl": 3}) == "invalid_argument"
    assert code_of(session, "kv", "set", "a", 1, {"ttlSeconds": True}) == "invalid_argument"


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("ab"), st.sampled_from(["read", "set", "add", "swap", "delete"])),
        max_size=12,
    )
)
def test_overlapping_calls_count_what_is_stored(steps: list[tuple[bool, str, str]]) -> None:
    """However two calls interleave: what a store says it holds is the sum of what it holds."""
    backend = MemoryBackend()
    _interleave(backend, steps)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "steps",
    [
        [(True, "a", "read"), (False, "a", "set"), (True, "a", "set")],
        [(True, "a", "read"), (False, "a", "delete"), (True, "a", "set")],
        [(True, "a", "add"), (False, "a", "add"), (False, "b", "set"), (True, "b", "delete")],
        [(True, "a", "swap"), (False, "a", "read"), (False, "a", "add"), (True, "b", "set")],
    ],
)
def test_overlapping_calls_count_what_is_stored_in_the_database(steps: list[tuple[bool, str, str]]) -> None:
    """The same in the database, where a value that was read is replaced in one statement if it is still there."""
    _interleave(DatabaseBackend(), steps)


def _interleave(backend: Any, steps: list[tuple[bool, str, str]]) -> None:
    before = make(backend=backend)
    ask(before, "kv", "set", "a", 5)
    ask(before, "kv", "set", "b", 70)
    before.commit()
    sessions = {True: make(backend=backend), False: make(backend=backend)}
    for number, (which, key, what) in enumerate(steps):
        session = sessions[which]
        seen = ask(session, "kv", "get", key)
        if what == "set":
            ask(session, "kv", "set", key, 10**number)
        elif what == "add":
            ask(session, "kv", "increment", key)
        elif what == "swap":
            ask(session, "kv", "compareAndSet", key, seen, number)
        elif what == "delete":
            ask(session, "kv", "delete", key)
    for session in (sessions[False], sessions[True]):
        with contextlib.suppress(CommitError):
            session.commit()
    items = ask(make(backend=backend), "kv", "list")["items"]
    octets = sum(len(item["key"]) + len(json.dumps(item["value"])) for item in items)
    assert backend.usage("one", "kv") == (len(items), octets)
