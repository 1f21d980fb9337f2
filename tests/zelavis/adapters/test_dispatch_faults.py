"""The dispatch adapter against a worker process that fails in every way the protocol can."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.server import free_port
from tests.zelavis.adapters.conftest import KEY, Notes, make_call, make_entry, make_order
from zelavis.adapters.base import Answer, DeployRefused
from zelavis.adapters.dispatch import DispatchAdapter, standard_request
from zelavis.models import DispatchWorker

adapter = DispatchAdapter()
Make = Callable[..., DispatchWorker]


def activate(worker: DispatchWorker, **changes: Any) -> Answer:
    return adapter.activate(make_order(worker=worker, **changes))


def test_active_passes(faulty: str, make_worker: Make) -> None:
    """A signed 200 with exactly {"status": "active"} is active."""
    assert activate(make_worker(f"{faulty}/good")) == Answer(status="active", http_status=200)


def test_active_with_a_message_passes(faulty: str, make_worker: Make) -> None:
    """A message and a charset parameter belong to the protocol."""
    answer = activate(make_worker(f"{faulty}/good-message"))
    assert (answer.status, answer.message) == ("active", "Accepted.")


def test_pending_passes_with_its_message(faulty: str, make_worker: Make) -> None:
    """The worker's "not yet" is pending and keeps its words."""
    answer = activate(make_worker(f"{faulty}/wait"))
    assert (answer.status, answer.code, answer.message) == (
        "pending",
        "worker_pending",
        "Deployment still propagating.",
    )


BAD_BODIES = [
    b'{"status":"failed"}',
    b'{"status":"ACTIVE"}',
    b'{"status":"Active "}',
    b'{"status":true}',
    b'{"status":1}',
    b'{"status":null}',
    b'{"status":["active"]}',
    b'{"status":{"status":"active"}}',
    b"{}",
    b"[]",
    b'["active"]',
    b'"active"',
    b"null",
    b"true",
    b"",
    b"active",
    b'{"status":"active"',
    b'{"status":"active"}}',
    b'{"status":"active"}{"status":"active"}',
    b'{"status":"active",}',
    b"{'status':'active'}",
    b'{"status":"active","message":1}',
    b'{"status":"active","message":null}',
    b'{"status":"active","message":["x"]}',
    b'{"status":"active","extra":1}',
    b'{"Status":"active"}',
    b'{"result":{"status":"active"}}',
    b'\xef\xbb\xbf{"status":"active"}',
    b'{"status":"active\xff"}',
    b'{"status":"active","message":NaN}',
    b'{"status":"active\\u0000"}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=repr)
def test_a_200_that_is_no_answer_is_never_active(faulty: str, make_worker: Make, body: bytes) -> None:
    """Unknown status, wrong type, extra member, broken or empty JSON: failed, where the source says active."""
    answer = activate(make_worker(f"{faulty}/say"), specifier=body.decode("latin-1"))
    assert (answer.status, answer.code) == ("failed", "worker_bad_answer")
    assert answer.message


@pytest.mark.parametrize("fault", ["no-type", "html", "html-type", "gzip", "twice"])
def test_a_200_in_another_dress_is_never_active(faulty: str, make_worker: Make, fault: str) -> None:
    """Another content type, a compressed body, a member twice: failed as a bad answer."""
    answer = activate(make_worker(f"{faulty}/{fault}"))
    assert (answer.status, answer.code, answer.http_status) == ("failed", "worker_bad_answer", 200)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 226])
def test_only_200_is_success(faulty: str, make_worker: Make, status: int) -> None:
    """Another 2xx is not the protocol's, whatever its body says."""
    answer = activate(make_worker(f"{faulty}/status"), specifier=str(status))
    assert answer.status == "failed"
    assert answer.code in ("worker_refused", "worker_bad_signature", "worker_bad_answer")


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_redirects_are_not_followed(faulty: str, make_worker: Make, status: int) -> None:
    """A redirect is a failure with its own code, and nothing is asked of where it points."""
    answer = activate(make_worker(f"{faulty}/status"), specifier=str(status))
    assert answer.status == "failed"
    assert answer.code in ("worker_redirected", "worker_bad_answer")


def test_a_redirect_to_a_good_worker_is_not_followed(faulty: str, make_worker: Make) -> None:
    """Even one that would lead to an "active"."""
    assert activate(make_worker(f"{faulty}/redirect")).code == "worker_redirected"


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 410, 413, 418, 422])
def test_a_refusal_is_failed_and_keeps_the_workers_words(faulty: str, make_worker: Make, status: int) -> None:
    """4xx is failed at once; what the worker said about it is kept, where the source throws it away."""
    answer = activate(make_worker(f"{faulty}/status"), specifier=str(status))
    assert (answer.status, answer.code, answer.http_status) == ("failed", "worker_refused", status)
    assert "said so" in answer.message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_broken_or_busy_worker_is_pending(faulty: str, make_worker: Make, status: int) -> None:
    """5xx and "too many" may pass: pending with a code, polled to the deadline, never active."""
    answer = activate(make_worker(f"{faulty}/status"), specifier=str(status))
    assert (answer.status, answer.code, answer.http_status) == ("pending", "worker_http_error", status)


def test_a_missing_worker_is_told_apart(faulty: str, make_worker: Make) -> None:
    """404 is worker_not_found and pending, since a new worker takes time to appear."""
    answer = activate(make_worker(f"{faulty}/nowhere"))
    assert (answer.status, answer.code, answer.http_status) == ("pending", "worker_not_found", 404)


def test_no_worker_at_all_is_typed(db: None) -> None:
    """An entry without a worker row fails as worker_not_found; nothing is guessed from its name."""
    answer = adapter.activate(make_order(worker=None))
    assert (answer.status, answer.code) == ("failed", "worker_not_found")


def test_a_huge_body_is_cut_off(faulty: str, make_worker: Make) -> None:
    """More than the worker's limit is refused with a code, however valid it would be."""
    answer = activate(make_worker(f"{faulty}/huge"))
    assert (answer.status, answer.code) == ("failed", "worker_answer_too_large")


@pytest.mark.parametrize("fault", ["truncated", "chunks-broken", "not-http", "huge-header"])
def test_a_body_that_breaks_off_is_never_active(faulty: str, make_worker: Make, fault: str) -> None:
    """Fewer bytes than announced, a broken chunk, no HTTP at all: pending, since the next try may fare better."""
    answer = activate(make_worker(f"{faulty}/{fault}"))
    assert answer.status in ("pending", "failed")
    assert answer.code == "worker_bad_answer"


@pytest.mark.parametrize("fault", ["silent", "slow"])
def test_the_timeout_is_total(faulty: str, make_worker: Make, fault: str) -> None:
    """A worker that sends a byte now and then gets no more time than a silent one."""
    worker = make_worker(f"{faulty}/{fault}", timeout_ms=400)
    started = time.monotonic()
    answer = activate(worker)
    assert (answer.status, answer.code) == ("pending", "worker_timeout")
    assert 0.3 < time.monotonic() - started < 1.5


def test_a_reset_is_pending(faulty: str, make_worker: Make) -> None:
    """A connection that breaks each time is pending with a code."""
    answer = activate(make_worker(f"{faulty}/reset"))
    assert answer.status == "pending"
    assert answer.code in ("worker_unreachable", "worker_bad_answer")


@pytest.mark.parametrize("fault", ["half-closed", "half-answered"])
def test_a_half_closed_connection_is_pending_at_once(faulty: str, make_worker: Make, fault: str) -> None:
    """A worker that closes its side without a whole answer is not waited for."""
    started = time.monotonic()
    answer = activate(make_worker(f"{faulty}/{fault}", timeout_ms=10_000))
    assert (answer.status, answer.code) == ("pending", "worker_bad_answer")
    assert time.monotonic() - started < 4


def test_nobody_listening_is_pending(make_worker: Make) -> None:
    """A refused connection is worker_unreachable."""
    answer = activate(make_worker(f"http://127.0.0.1:{free_port()}"))
    assert (answer.status, answer.code) == ("pending", "worker_unreachable")


def test_a_broken_connection_is_tried_once_more_with_the_same_key(faulty: str, make_worker: Make) -> None:
    """The second try carries the first one's idempotency key, which is the activation's id."""
    answer = activate(make_worker(f"{faulty}/reset-once"), activation="act_resetonce")
    assert (answer.status, answer.message) == ("active", "same key: True")


@pytest.mark.parametrize("fault", ["unsigned", "forged", "changed", "stale", "replayed"])
def test_an_answer_without_proof_is_never_active(faulty: str, make_worker: Make, fault: str) -> None:
    """Unsigned, signed with another key, over another body, too old, or for another request: failed."""
    answer = activate(make_worker(f"{faulty}/{fault}"))
    assert (answer.status, answer.code) == ("failed", "worker_bad_signature")


@pytest.mark.parametrize("fault", ["unsigned", "forged"])
def test_a_worker_without_a_secret_shares_the_servers(
    faulty: str, make_worker: Make, settings: Any, fault: str
) -> None:
    """With ZELAVIS_WORKER_SECRET set, a worker that was given none must sign with that one."""
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, worker_secret=KEY)
    assert activate(make_worker(f"{faulty}/{fault}", key="")).code == "worker_bad_signature"
    DispatchWorker.objects.all().delete()
    assert activate(make_worker(f"{faulty}/strict", key="")).status == "active"


def test_a_worker_refuses_a_forged_request(faulty: str, make_worker: Make) -> None:
    """A request signed with another key is 401 at the worker and failed here."""
    answer = activate(make_worker(f"{faulty}/strict", key="not the worker's key"))
    assert (answer.status, answer.code, answer.http_status) == ("failed", "worker_refused", 401)


def test_the_request_is_the_standard_one(faulty: str, make_worker: Make) -> None:
    """The body is the seed's, byte for byte as JSON.stringify would write it, with the worker's own entry alone."""
    order = make_order(worker=make_worker(f"{faulty}/strict"))
    answer = adapter.activate(order)
    assert answer.status == "active"
    assert answer.message == (
        '{"pluginName":"search","action":"install","specifier":"https://example.com/search.mjs",'
        '"registry":[{"name":"search","status":"installed","source":"community"}]}'
    )
    assert json.loads(answer.message) == standard_request(order)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/x", "http://", "http://127.0.0.1:0", "http://[::1", "http://127.0.0.1:99999"]
)
def test_a_url_that_cannot_be_used_is_not_active(make_worker: Make, url: str) -> None:
    """A broken base URL ends in an answer with a code, not in an exception."""
    answer = activate(make_worker(url))
    assert answer.status in ("pending", "failed")
    assert answer.code == "worker_unreachable"


def test_a_secret_of_another_key_is_told(faulty: str, make_worker: Make) -> None:
    """A worker's secret that cannot be read stops before anything is sent."""
    worker = make_worker(f"{faulty}/good")
    worker.secret = "damaged"
    answer = activate(worker)
    assert (answer.status, answer.code) == ("failed", "secret_unreadable")


def test_a_secret_that_is_no_key_is_told(faulty: str, make_worker: Make) -> None:
    """A secret that claims to be base64 and is not ends in an answer with a code."""
    answer = activate(make_worker(f"{faulty}/good", key="whsec_a"))
    assert (answer.status, answer.code) == ("failed", "secret_unreadable")


def test_a_call_brings_the_workers_outcome(faulty: str, make_worker: Make) -> None:
    """A well-formed outcome of exactly this call is passed on."""
    outcome = adapter.call(make_entry(worker=make_worker(f"{faulty}/call").pk), make_call())
    assert (outcome.status, outcome.result) == ("ok", {"n": 1})


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("other-call", "bad_answer", "worker_bad_answer"),
        ("good", "bad_answer", "worker_bad_answer"),
        ("html", "bad_answer", "worker_bad_answer"),
        ("huge", "bad_answer", "worker_answer_too_large"),
        ("forged", "bad_answer", "worker_bad_signature"),
        ("replayed", "bad_answer", "worker_bad_signature"),
        ("far-time", "bad_answer", "worker_bad_signature"),
        ("odd-status", "bad_answer", "worker_bad_answer"),
        ("nowhere", "unreachable", "worker_not_found"),
        ("silent", "unreachable", "worker_timeout"),
        ("truncated", "unreachable", "worker_bad_answer"),
    ],
)
def test_a_call_that_fails_is_an_outcome(faulty: str, make_worker: Make, fault: str, status: str, code: str) -> None:
    """Whatever the worker does to a call, it ends in an outcome with a code and in time."""
    worker = make_worker(f"{faulty}/{fault}", timeout_ms=500)
    outcome = adapter.call(make_entry(worker=worker.pk), make_call())
    assert (outcome.status, outcome.error_code) == (status, code)
    assert not outcome.ok


def test_an_upload_that_is_not_confirmed_is_refused(faulty: str, make_worker: Make) -> None:
    """Only a confirmation of this digest counts as deployed."""
    notes = Notes()
    worker = make_worker(f"{faulty}/good", takes_uploads=True)
    with pytest.raises(DeployRefused, match="did not confirm"):
        adapter.deploy(make_order(worker=worker, source=lambda: b"export default {}", note=notes))
    assert notes.lines[0][2]["code"] == "worker_bad_answer"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["active", "pending", "status"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["status", "message", "result", "Status"]) | st.text(max_size=5), inner, max_size=3
        )
    ),
    max_leaves=8,
)
NEAR = st.sampled_from(
    [*BAD_BODIES, b'{"status":"active"}', b'{"status":"active","message":"x"}', b'{"status":"pending"}']
)


def exactly_active(body: bytes) -> bool:
    """An independent reading of the rule, over the bytes."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError):
        return False
    if (
        not isinstance(value, list)
        or not all(isinstance(pair, tuple) for pair in value)
        or not body.lstrip().startswith(b"{")
    ):
        return False
    names = [name for name, _ in value]
    return (
        sorted(names) in (["status"], ["message", "status"])
        and dict(value)["status"] == "active"
        and isinstance(dict(value).get("message", ""), str)
    )


@given(body=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()) | NEAR)
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_answers_are_active_only_when_exactly_valid(body: bytes) -> None:
    """Over random bytes, random JSON and near misses, "active" comes out only of an exactly valid answer."""
    from zelavis.adapters.answers import read_activation
    from zelavis.adapters.http import Reply

    answer = read_activation(
        Reply(status=200, headers={"content-type": "application/json"}, body=body), worker="search"
    )
    assert answer.status in ("active", "pending", "failed")
    if answer.status == "active":
        assert exactly_active(body)
    if body in (b'{"status":"active"}', b'{"status":"active","message":"x"}'):
        assert answer.status == "active"


@given(body=st.binary(max_size=60))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_over_http_are_never_active(faulty: str, make_worker: Make, body: bytes) -> None:
    """The same over real HTTP with a right signature: random bytes never make a plugin active."""
    worker = DispatchWorker.objects.first() or make_worker(f"{faulty}/say")
    assert activate(worker, specifier=body.decode("latin-1")).status != "active" or exactly_active(body)


@given(status=st.integers(100, 999), body=st.sampled_from([b"", b'{"status":"active"}']))
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_other_http_status_is_active(status: int, body: bytes) -> None:
    """No status but 200 ever comes out as active."""
    from zelavis.adapters.answers import read_activation
    from zelavis.adapters.http import Reply

    answer = read_activation(
        Reply(status=status, headers={"content-type": "application/json"}, body=body), worker="search"
    )
    assert answer.status != "active" or (status == 200 and body)
