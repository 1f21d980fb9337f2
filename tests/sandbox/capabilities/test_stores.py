"""documents, object, blobs, schedule, email, users: real storage, bounded, buffered."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from django.core import mail
from hypothesis import given
from hypothesis import strategies as st

from sandbox.capabilities import outbox, queries
from sandbox.capabilities.backends.database import DatabaseBackend
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.capabilities.faults import CommitConflict, CommitQuotaExceeded
from tests.sandbox.capabilities.harness import NOW, ask, code_of, make

MANY = {"callsPerInvocation": 500}
DOCS = {"documents": {"reason": "t", "collections": {"orders": {"indexes": ["status", "total", "who.name"]}}, **MANY}}
OBJECT = {"object": {"reason": "t", **MANY}}
BLOBS = {"blobs": {"reason": "t", **MANY}}
WAKES = {"schedule": {"reason": "t", "wakes": 2}}


def _orders(backend: Any) -> None:
    session = make(DOCS, backend=backend)
    for number, (status, total, name) in enumerate(
        [("open", 10, "Ann"), ("open", -2.5, "Bob"), ("paid", 7, "Ann"), ("paid", "7", "Cy"), ("open", None, None)]
    ):
        document = {"status": status, "total": total, "who": {"name": name}, "secret": "x"}
        ask(session, "documents", "put", "orders", f"o{number}", document)
    session.commit()


def _ids(session: Any, **options: Any) -> list[str]:
    return [item["id"] for item in ask(session, "documents", "query", "orders", options)["items"]]


def test_documents_are_found_by_indexed_fields(backend: Any) -> None:
    """Equality, ranges, sets and prefixes over declared fields, numbers and texts never mixed."""
    _orders(backend)
    session = make(DOCS, backend=backend)
    assert _ids(session, where={"status": "open"}) == ["o0", "o1", "o4"]
    assert _ids(session, where={"total": {"gt": 5}}) == ["o0", "o2"]
    assert _ids(session, where={"total": {"gte": -2.5, "lt": 10}}) == ["o1", "o2"]
    assert _ids(session, where={"total": "7"}) == ["o3"]
    assert _ids(session, where={"total": None}) == ["o4"]
    assert _ids(session, where={"status": {"in": ["paid", "gone"]}, "who.name": "Ann"}) == ["o2"]
    assert _ids(session, where={"who.name": {"startsWith": "B"}}) == ["o1"]
    assert ask(session, "documents", "count", "orders", {"status": "open"}) == 3


def test_queries_page_through_in_order(backend: Any) -> None:
    """A cursor follows the order asked for, in both directions, each document once."""
    _orders(backend)
    for direction, wanted in (("asc", ["o4", "o1", "o2", "o0", "o3"]), ("desc", ["o3", "o0", "o2", "o1", "o4"])):
        session = make(DOCS, backend=backend)
        seen, cursor = [], None
        while True:
            options = {"orderBy": "total", "direction": direction, "limit": 2, "cursor": cursor}
            page = ask(session, "documents", "query", "orders", options)
            seen += [item["id"] for item in page["items"]]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert seen == wanted


def test_queries_see_the_calls_own_documents(backend: Any) -> None:
    """What a call put, changed and deleted is in its queries before it ends."""
    _orders(backend)
    session = make(DOCS, backend=backend)
    ask(session, "documents", "put", "orders", "o9", {"status": "open"})
    ask(session, "documents", "put", "orders", "o0", {"status": "paid"})
    assert ask(session, "documents", "delete", "orders", "o1") is True
    assert _ids(session, where={"status": "open"}) == ["o4", "o9"]
    assert ask(session, "documents", "count", "orders", {"status": "open"}) == 2
    assert ask(session, "documents", "get", "orders", "o1") is None
    session.commit()
    assert _ids(make(DOCS, backend=backend), where={"status": "open"}) == ["o4", "o9"]


@pytest.mark.parametrize("field", ["secret", "plugin", "body__contains", "document__plugin", "status__startswith", ""])
def test_d09_only_declared_fields_are_looked_up(backend: Any, field: str) -> None:
    """D09: a field that is no declared index cannot be filtered or ordered by, whatever it spells."""
    session = make(DOCS, backend=backend)
    assert code_of(session, "documents", "query", "orders", {"where": {field: "x"}}) == "field_not_indexed"
    assert code_of(session, "documents", "query", "orders", {"orderBy": field}) == "field_not_indexed"
    assert code_of(session, "documents", "query", "others") == "collection_not_declared"


def test_documents_are_bounded(backend: Any) -> None:
    """Documents end at their count and bytes, the update that shrinks still goes through."""
    grants = {"documents": {**DOCS["documents"], "documents": 2}}
    session = make(grants, backend=backend)
    ask(session, "documents", "put", "orders", "a", {})
    ask(session, "documents", "put", "orders", "b", {})
    session.commit()
    session = make(grants, backend=backend)
    ask(session, "documents", "put", "orders", "c", {})
    with pytest.raises(CommitQuotaExceeded):
        session.commit()
    assert backend.usage("one", "documents") == (2, 4)
    small = make({"documents": {**DOCS["documents"], "bytes": 10}}, backend=backend)
    assert code_of(small, "documents", "put", "orders", "a", {"x": "y" * 20}) == "quota_exceeded"


def test_new_indexes_cover_old_documents(backend: Any) -> None:
    """An update of the plugin that declares another index finds documents written before it."""
    _orders(backend)
    grants = {"documents": {**DOCS["documents"], "collections": {"orders": {"indexes": ["secret"]}}}}
    assert len(_ids(make(grants, backend=backend), where={"secret": "x"})) == 5


@given(st.lists(st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53), min_size=2))
def test_encoding_keeps_the_order_of_numbers(values: list[Any]) -> None:
    """Encoded values sort as null, false, true and then the numbers by size."""

    def rank(value: Any) -> tuple[int, float]:
        return (0, 0) if value is None else (1, value) if isinstance(value, bool) else (2, value)

    assert sorted(map(queries.encode, values)) == [queries.encode(value) for value in sorted(values, key=rank)]


def test_a_record_is_held_by_one_call(backend: Any) -> None:
    """While one call holds a record another gets object_busy; afterwards it reads what the first wrote."""
    first = make(OBJECT, backend=backend, id="inv_1")
    second = make(OBJECT, backend=backend, id="inv_2", seconds=1)
    assert ask(first, "object", "get", "room") is None
    assert code_of(second, "object", "get", "room") == "object_busy"
    ask(first, "object", "put", "room", {"seats": 3})
    first.commit()
    third = make(OBJECT, backend=backend, id="inv_3")
    assert ask(third, "object", "get", "room") == {"seats": 3}
    third.discard()


def test_a_lost_lease_cannot_write(backend: Any) -> None:
    """A call whose lease ran out and was taken by another fails with a conflict when it ends."""
    first = make(OBJECT, backend=backend, id="inv_1")
    ask(first, "object", "put", "a", 1)
    backend.objects.release("one", ["a"], "inv_1")
    second = make(OBJECT, backend=backend, id="inv_2")
    ask(second, "object", "put", "a", 2)
    second.commit()
    with pytest.raises(CommitConflict):
        first.commit()
    assert ask(make(OBJECT, backend=backend, id="inv_3"), "object", "get", "a") == 2


def test_records_are_bounded_and_held_locks_too(backend: Any) -> None:
    """Records end at their count, and one call holds at most eight."""
    session = make({"object": {"reason": "t", "keys": 1, **MANY}}, backend=backend)
    ask(session, "object", "put", "a", 1)
    ask(session, "object", "put", "b", 1)
    with pytest.raises(CommitQuotaExceeded):
        session.commit()
    session = make(OBJECT, backend=backend)
    for number in range(8):
        ask(session, "object", "get", f"k{number}")
    assert code_of(session, "object", "get", "k8") == "quota_exceeded"
    session.discard()


def test_files_live_and_go(backend: Any, tmp_path: Any, settings: Any) -> None:
    """A file that was put comes back with its digest; replaced and deleted ones leave no bytes behind."""
    settings.MEDIA_ROOT = tmp_path
    session = make(BLOBS, backend=backend)
    data = base64.b64encode(b"\x00\xffpicture").decode()
    told = ask(session, "blobs", "put", "../../etc/a.png", data, {"contentType": "image/png"})
    assert told["size"] == 9
    assert ask(session, "blobs", "get", "../../etc/a.png")["base64"] == data
    session.commit()
    session = make(BLOBS, backend=backend)
    assert ask(session, "blobs", "head", "../../etc/a.png") == told
    assert [item["name"] for item in ask(session, "blobs", "list")["items"]] == ["../../etc/a.png"]
    ask(session, "blobs", "put", "../../etc/a.png", "")
    session.commit()
    assert backend.usage("one", "blobs") == (1, 0)
    session = make(BLOBS, backend=backend)
    assert ask(session, "blobs", "delete", "../../etc/a.png") is True
    session.commit()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_files_of_a_failed_commit_are_removed(backend: Any, tmp_path: Any, settings: Any) -> None:
    """When the rows cannot be kept, the bytes that were written before them go."""
    settings.MEDIA_ROOT = tmp_path
    session = make({"blobs": {"reason": "t", "blobs": 1}}, backend=backend)
    ask(session, "blobs", "put", "a", "AAAA")
    ask(session, "blobs", "put", "b", "AAAA")
    with pytest.raises(CommitQuotaExceeded):
        session.commit()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert backend.usage("one", "blobs") == (0, 0)


def test_wake_times_are_set_moved_and_claimed_once(db: None) -> None:
    """A wake time that is due is given to one claimer, and the number of them is limited."""
    backend = DatabaseBackend()
    session = make(WAKES, backend=backend)
    assert ask(session, "schedule", "at", "soon", {"afterSeconds": 60}, {"n": 1}) == NOW + 60_000
    ask(session, "schedule", "at", "later", NOW + 3_600_000)
    assert code_of(session, "schedule", "at", "third", {"afterSeconds": 60}) == "quota_exceeded"
    assert code_of(session, "schedule", "at", "past", NOW - 1) == "invalid_argument"
    assert ask(session, "schedule", "cancel", "later") is True
    session.commit()
    assert outbox.seconds_until_next_wake() is not None
    assert outbox.claim_wakes(now_ms=NOW + 59_999) == []
    claimed = outbox.claim_wakes(now_ms=NOW + 60_000)
    assert [(row.plugin, row.name, row.data) for row in claimed] == [("one", "soon", '{"n":1}')]
    assert outbox.claim_wakes(now_ms=NOW + 60_000) == []


MAIL = {"email:send": {"reason": "t", "perDomainPerHour": 2, "callsPerInvocation": 20}}


def test_mail_is_sent_after_the_call_stands(db: None) -> None:
    """A message of a failed call is never sent; one of a good call is, once."""
    backend = DatabaseBackend()
    message = {"to": "a@example.com", "subject": "Hello", "text": "T", "html": "<p>T</p>"}
    failed = make(MAIL, backend=backend)
    ask(failed, "email_send", "send", message)
    failed.discard()
    assert outbox.send_due() == 0
    good = make(MAIL, backend=backend)
    ask(good, "email_send", "send", message)
    good.commit()
    assert outbox.seconds_until_next_mail() is not None
    assert outbox.send_due() == 1
    assert outbox.send_due() == 0
    assert [(one.to, one.subject) for one in mail.outbox] == [(["a@example.com"], "Hello")]


def test_d07_mail_is_limited_by_recipient_domain(backend: Any) -> None:
    """D07: messages to one domain end at the hourly quantity, even when the calls fail, other domains go on."""
    for number in range(2):
        session = make(MAIL, backend=backend)
        ask(session, "email_send", "send", {"to": f"{number}@Example.com", "subject": "s", "text": "t"})
        session.discard()
    session = make(MAIL, backend=backend)
    again = {"to": "9@example.com", "subject": "s", "text": "t"}
    assert code_of(session, "email_send", "send", again) == "quota_exceeded"
    ask(session, "email_send", "send", {**again, "to": "9@example.org"})


@pytest.mark.parametrize(
    "change",
    [
        {"to": "no address"},
        {"to": "a@example.com\nBcc: b@example.com"},
        {"to": []},
        {"to": ["a@example.com"] * 6},
        {"subject": "a\r\nBcc: b@example.com"},
        {"text": ""},
        {"from": "x@example.com"},
    ],
)
def test_mail_headers_cannot_be_injected(change: dict[str, Any]) -> None:
    """Recipients and subject with line breaks, too many recipients and a sender of one's own are refused."""
    session = make(MAIL, backend=MemoryBackend())
    message = {"to": "a@example.com", "subject": "s", "text": "t", **change}
    assert code_of(session, "email_send", "send", message) in ("invalid_address", "invalid_argument")


def test_users_show_allowed_fields_only(db: None, django_user_model: Any) -> None:
    """D09: accounts have a fixed list of fields; look-ups into passwords are no field; e-mail needs consent."""
    user = django_user_model.objects.create_user("ann", "ann@example.com", "password")
    plain = make({"users:read": {"reason": "t"}}, backend=MemoryBackend())
    shown = ask(plain, "users_read", "get", str(user.pk))
    assert set(shown) == {"id", "username", "firstName", "lastName", "isActive"}
    for field in ("password__startswith", "password", "is_superuser", "username__startswith"):
        assert code_of(plain, "users_read", "list", {"where": {field: "a"}}) == "field_not_allowed"
    assert ask(plain, "users_read", "list", {"where": {"username": "ann"}})["items"] == [shown]
    assert ask(plain, "users_read", "list", {"where": {"isActive": True}})["items"] == [shown]
    for where in ({"isActive": "yes"}, {"isActive": ""}, {"username": True}, {"username": "a\0"}, {"isActive": 1}):
        assert code_of(plain, "users_read", "list", {"where": where}) == "invalid_argument"
    assert plain.host_error is None
    consented = make({"users:read": {"reason": "t", "email": True}}, backend=MemoryBackend())
    assert ask(consented, "users_read", "get", user.pk)["email"] == "ann@example.com"


@pytest.mark.parametrize("inside", ["[" * 50_000, '["\\ud800", "a"]', '["a", "\\ud800"]', '{"a": 1}', "[1, 2]", "["])
def test_a_forged_cursor_is_an_argument_that_cannot_be_used(backend: Any, inside: str) -> None:
    """A cursor that no query gave is the plugin's mistake and never counted as a failure of the host."""
    cursor = base64.urlsafe_b64encode(inside.encode()).decode()
    for options in ({"cursor": cursor}, {"cursor": cursor, "orderBy": "total"}):
        session = make(DOCS, backend=backend)
        assert code_of(session, "documents", "query", "orders", options) == "invalid_argument"
        assert session.host_error is None


@pytest.mark.parametrize("removed", [False, True], ids=["replaced", "removed"])
def test_a_file_that_is_replaced_while_it_is_read(backend: Any, removed: bool, settings: Any, tmp_path: Any) -> None:
    """Another call replaces or removes a file between its row and its bytes: the reader gets what stands now."""
    settings.MEDIA_ROOT = tmp_path
    first = make(BLOBS, backend=backend)
    ask(first, "blobs", "put", "a", base64.b64encode(b"old").decode())
    first.commit()
    real, once = backend.blobs.read, contextlib.ExitStack()

    def replaced() -> None:
        other = make(BLOBS, backend=backend)
        if removed:
            ask(other, "blobs", "delete", "a")
        else:
            ask(other, "blobs", "put", "a", base64.b64encode(b"new").decode())
        other.commit()

    def late(blob: Any) -> Any:
        once.close()
        return real(blob)

    once.callback(replaced)
    backend.blobs.read = late
    reader = make(BLOBS, backend=backend)
    told = ask(reader, "blobs", "get", "a")
    assert reader.host_error is None
    assert told is None if removed else base64.b64decode(told["base64"]) == b"new"
