"""Every kind of waitpoint of the npm tenant, resolved through our server."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

import pytest

from tests.runs.npm import House, waits

pytestmark = pytest.mark.node


def test_a_sleep(house: House) -> None:
    """A sleep parks the run with its wake time stamped, and ends by alarm soon after it."""
    record = house.trigger("sleepy", {"ms": 250})
    assert record["status"] == "waiting"
    (wait,) = record["pendingWaitpoints"]
    wake_at = wait["meta"]["wakeAt"]
    assert wait == {
        "clientWaitpointId": "sleep:1",
        "kind": "DATETIME",
        "meta": {"durationMs": 250, "wakeAt": wake_at},
        "timeoutMs": 250,
    }
    record = house.ended(record["id"])
    resolved = record["journal"]["waitpointsResolved"]["sleep:1"]
    assert record["output"] == {"a": "alpha", "b": "beta"}
    assert set(resolved) == {"kind", "resolvedAt", "source"}
    assert resolved["source"] == "replay"
    assert 0 <= resolved["resolvedAt"] - wake_at < 1000
    assert record["invocationCount"] == 2
    assert house.tenant.ran(record["id"]) == {"a": 1, "b": 1}


@pytest.mark.parametrize("delay", [150, "150ms"])
def test_a_delayed_trigger(house: House, delay: Any) -> None:
    """A delayed run is parked without an invocation and starts by alarm, its start time in the future."""
    before = time.time() * 1000
    record = house.trigger("plain", {"x": 1}, delay=delay)
    assert (record["status"], record["invocationCount"]) == ("waiting", 0)
    (wait,) = record["pendingWaitpoints"]
    assert wait["clientWaitpointId"] == f"trigger-delay:{record['id']}"
    assert wait["meta"] == {"wakeAt": record["startedAt"], "durationMs": 150, "source": "trigger.delay"}
    assert record["startedAt"] >= before + 140
    ended = house.ended(record["id"])
    assert (ended["status"], ended["invocationCount"], ended["startedAt"]) == ("completed", 1, record["startedAt"])
    assert f"trigger-delay:{record['id']}" in ended["journal"]["waitpointsResolved"]


def test_an_event(house: House) -> None:
    """An event resolves the wait in the same request, with the entry that the seed writes."""
    record = house.trigger("wait-event")
    assert record["pendingWaitpoints"] == [
        {"clientWaitpointId": "event:greet:1", "kind": "EVENT", "meta": {"eventType": "greet"}}
    ]
    record = house.inject(record["id"], "events", eventType="greet", payload={"name": "ada"})
    entry = record["journal"]["waitpointsResolved"]["event:greet:1"]
    assert record["output"] == {"got": {"name": "ada"}}
    assert entry | {"resolvedAt": 0} == {
        "kind": "EVENT",
        "resolvedAt": 0,
        "payload": {"name": "ada"},
        "source": "live",
        "matchedEventId": "evt_live_greet",
    }
    assert house.tenant.ran(record["id"]) == {"before": 1, "after": 1}


def test_an_event_of_another_type_is_refused(house: House) -> None:
    """What nobody waits for is 400 ``no_match``, and after the end 409 ``not_parked``; names are compared exactly."""
    run = house.trigger("wait-event")["id"]
    for name in ("Greet", "other"):
        answer = house.post(f"/runs/{run}/events", {"eventType": name, "payload": 1})
        assert (answer.status_code, answer.json()["error"]) == (400, "no_match")
        assert answer.json()["message"] == f"no pending waitpoint matches kind=EVENT, key={name}"
    house.inject(run, "events", eventType="greet")
    answer = house.post(f"/runs/{run}/events", {"eventType": "greet"})
    assert (answer.status_code, answer.json()["error"]) == (409, "not_parked")
    assert answer.json()["message"] == f"run {run} is not parked (status: completed)"


@pytest.mark.parametrize(("payload", "got"), [({}, None), ({"payload": None}, None), ({"payload": 0}, 0)])
def test_payloads(house: House, payload: dict[str, Any], got: Any) -> None:
    """A payload may be absent, null or false; the journal tells the first two apart."""
    run = house.trigger("wait-event")["id"]
    record = house.inject(run, "events", eventType="greet", **payload)
    assert record["output"] == {"got": got}
    assert ("payload" in record["journal"]["waitpointsResolved"]["event:greet:1"]) == bool(payload)


def test_an_event_in_time(house: House) -> None:
    """An event that comes before the timeout is what the body gets."""
    run = house.trigger("wait-event-timeout", {"timeout": "30s", "onTimeout": "throw"})["id"]
    assert house.record(run)["pendingWaitpoints"][0]["timeoutMs"] == 30_000
    assert house.inject(run, "events", eventType="maybe", payload="now")["output"] == {"got": "now"}


def test_an_event_too_late(house: House) -> None:
    """Fault 5: the timeout fires; the body gets null, or an error when it asked for one."""
    silent = house.trigger("wait-event-timeout", {"timeout": 150})["id"]
    loud = house.trigger("wait-event-timeout", {"timeout": 150, "onTimeout": "throw"})["id"]
    record = house.ended(silent)
    assert record["output"] == {"got": None}
    entry = record["journal"]["waitpointsResolved"]["event:maybe:1"]
    assert set(entry) == {"kind", "resolvedAt", "source"}
    assert entry["source"] == "replay"
    record = house.ended(loud)
    assert record["status"] == "failed"
    assert record["error"]["message"] == "waitpoint event:maybe:1 timed out"


def test_an_iterator(house: House) -> None:
    """An iterator registers a new wait for each event and ends on the end marker."""
    run = house.trigger("chat")["id"]
    assert waits(house.record(run)) == ["event:chat:iter:2"]
    assert house.record(run)["pendingWaitpoints"][0]["meta"] == {"eventType": "chat", "iter": True}
    for n, text in enumerate(("hi", "there"), 3):
        record = house.inject(run, "events", eventType="chat", payload=text)
        assert waits(record) == [f"event:chat:iter:{n}"]
    record = house.inject(run, "events", eventType="chat", payload={"__voyantStreamEnd": True})
    assert (record["status"], record["output"]) == ("completed", ["hi", "there"])
    assert house.tenant.ran(run) == {"heard-1": 1, "heard-2": 1}


def test_a_signal(house: House) -> None:
    """A signal resolves by its name."""
    record = house.trigger("wait-signal")
    assert record["pendingWaitpoints"] == [
        {"clientWaitpointId": "signal:approve:1", "kind": "SIGNAL", "meta": {"signalName": "approve"}}
    ]
    record = house.inject(record["id"], "signals", name="approve", payload=[1])
    assert record["output"] == {"got": [1]}
    assert set(record["journal"]["waitpointsResolved"]["signal:approve:1"]) == {
        *("kind", "resolvedAt", "payload", "source")
    }


def test_signals_and_tokens_time_out_too(house: House) -> None:
    """Fault 5 holds for every kind."""
    signal = house.trigger("wait-signal", {"timeout": 120})["id"]
    token = house.trigger("wait-token", {"tokenId": "late", "timeout": 120, "onTimeout": "throw"})["id"]
    assert house.ended(signal)["output"] == {"got": None}
    assert house.ended(token)["error"]["message"] == "token late timed out"


@pytest.mark.parametrize(("token", "path"), [("appr/1 x", "appr%2F1%20x"), ("ünï", "%C3%BCn%C3%AF"), (None, "tok_1")])
def test_a_token(house: House, token: str | None, path: str) -> None:
    """A token resolves by its id, percent-encoded in the path; one without a name gets its own."""
    record = house.trigger("wait-token", {"tokenId": token} if token else {})
    name = token or "tok_1"
    assert record["pendingWaitpoints"] == [
        {"clientWaitpointId": f"token:{name}", "kind": "MANUAL", "meta": {"tokenId": name}}
    ]
    answer = house.api.post(f"/api/runs/{record['id']}/tokens/{path}", json={"payload": {"by": "hand"}})
    assert answer.status_code == 200, answer.text
    output = answer.json()["output"]
    assert output == {"tokenId": name, "url": f"/__voyant/tokens/{name}", "got": {"by": "hand"}}


def test_a_token_with_an_empty_body(house: House) -> None:
    """A token may be answered without a body."""
    run = house.trigger("wait-token", {"tokenId": "empty"})["id"]
    assert house.api.post(f"/api/runs/{run}/tokens/empty").json()["output"]["got"] is None


def test_two_waits_for_one_event(house: House) -> None:
    """One event resolves one wait, the first registered first."""
    run = house.trigger("two-of-one")["id"]
    assert waits(house.record(run)) == ["event:ping:1", "event:ping:2"]
    record = house.inject(run, "events", eventType="ping", payload=1)
    assert (record["status"], waits(record)) == ("waiting", ["event:ping:2"])
    assert house.inject(run, "events", eventType="ping", payload=2)["output"] == [1, 2]


def test_two_events_at_once_both_count(house: House) -> None:
    """Fault 4: of two concurrent injections none is lost: both resolve, or one is refused and may be sent again."""
    for _ in range(5):
        run = house.trigger("two-of-one")["id"]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(
                    lambda n, run=run: house.post(f"/runs/{run}/events", {"eventType": "ping", "payload": n}), [1, 2]
                )
            )
        accepted = sorted(n for n, answer in zip([1, 2], answers, strict=True) if answer.status_code == 200)
        assert accepted
        record = house.until(run, lambda record: record["status"] != "running")
        got = sorted(
            entry["payload"]
            for key, entry in record["journal"]["waitpointsResolved"].items()
            if key.startswith("event:ping")
        )
        assert got == accepted
        if len(accepted) == 1:
            house.inject(run, "events", eventType="ping", payload=9)
        assert house.ended(run)["status"] == "completed"


def test_a_buffered_event_waits_for_its_wait(house: House) -> None:
    """Fault 4: with ``?deliver=buffer`` an early event is kept with a receipt, and resolves the wait when it comes."""
    run = house.trigger("wait-event", delay=300)["id"]
    answer = house.api.post(f"/api/runs/{run}/events?deliver=buffer", json={"eventType": "greet", "payload": "early"})
    assert (answer.status_code, answer.json()["disposition"]) == (202, "buffered")
    record = house.ended(run)
    assert record["output"] == {"got": "early"}
    assert record["journal"]["waitpointsResolved"]["event:greet:1"]["source"] == "inbox"


def test_a_sleep_keeps_its_time_while_others_resolve(house: House) -> None:
    """Fault 7: an event in the middle of a sleep does not start the sleep anew."""
    record = house.trigger("sleep-and-event", {"ms": 800})
    wake_at = record["pendingWaitpoints"][0]["meta"]["wakeAt"]
    time.sleep(0.3)
    record = house.inject(record["id"], "events", eventType="poke", payload="p")
    assert waits(record) == ["sleep:1"]
    assert record["pendingWaitpoints"][0]["meta"]["wakeAt"] == wake_at
    record = house.ended(record["id"])
    assert record["output"]["got"] == "p"
    assert record["journal"]["waitpointsResolved"]["sleep:1"]["resolvedAt"] - wake_at < 500


def test_all_kinds_at_once(house: House) -> None:
    """Event, signal and token are told apart although their names could be the same."""
    run = house.trigger("all-kinds")["id"]
    assert sorted(waits(house.record(run))) == ["event:e:1", "signal:s:2", "token:t"]
    assert house.post(f"/runs/{run}/signals", {"name": "e"}).status_code == 400
    house.inject(run, "tokens/t", payload=3)
    house.inject(run, "events", eventType="e", payload=1)
    record = house.inject(run, "signals", name="s", payload=2)
    assert record["output"] == {"event": 1, "signal": 2, "manual": 3}


def test_more_than_128_invocations(house: House) -> None:
    """Fault 18: a run may wait more often than 127 times."""
    run = house.trigger("many-waits", {"count": 131})["id"]
    for n in range(131):
        record = house.inject(run, "signals", name="next", payload=n)
    assert record["output"] == list(range(131))
    assert record["invocationCount"] == 132
