"""Answers of a tenant that are JSON and of the protocol, and that no column could hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runs import protocol
from runs.dispatchers import http
from runs.dispatchers.client import Answer
from runs.errors import ProtocolError

STEP = {"attempt": 1, "status": "ok", "startedAt": 1, "finishedAt": 1}


def answer(**members: Any) -> dict[str, Any]:
    journal = {
        "stepResults": {},
        "waitpointsResolved": {},
        "compensationsRun": {},
        "metadataState": {},
        "streamsCompleted": {},
    }
    body = {"status": "completed", "metadataUpdates": [], "journal": journal, "streamChunks": []}
    for name in ("stepResults", "compensationsRun", "streamsCompleted"):
        if name in members:
            journal[name] = members.pop(name)
    return body | members


def waiting(**wait: Any) -> dict[str, Any]:
    return answer(status="waiting", waitpoints=[wait])


@pytest.mark.parametrize(
    "body",
    [
        answer(stepResults={"s" * 401: STEP}),
        answer(stepResults={"a\x00b": STEP}),
        answer(streamsCompleted={"s" * 401: {"chunkCount": 1}}),
        answer(compensationsRun={"s" * 401: {"status": "ok"}}),
        answer(streamChunks=[{"streamId": "a\x00", "seq": 1}]),
        waiting(clientWaitpointId="a\x00", kind="DATETIME", meta={"durationMs": 1}),
        waiting(clientWaitpointId="event:x:1", kind="EVENT", meta={"eventType": "a\x00"}),
        waiting(clientWaitpointId="invoke:x:1", kind="RUN", meta={"childWorkflowId": "w" * 201}),
        waiting(clientWaitpointId="sleep:1", kind="DATETIME", meta={"durationMs": 1e300}, timeoutMs=1e300),
        waiting(clientWaitpointId="sleep:1", kind="DATETIME", meta={"durationMs": 1e300}),
        waiting(clientWaitpointId="sleep:1", kind="DATETIME", meta={"wakeAt": 1e300}),
    ],
)
def test_names_and_times_that_do_not_fit(body: dict[str, Any]) -> None:
    """Names that are too long or hold a NUL, and times beyond any date, are refused before anything is written."""
    with pytest.raises(ProtocolError):
        protocol.parse(body)


def test_the_longest_that_fit() -> None:
    """At the limits an answer is believed."""
    protocol.parse(answer(stepResults={"s" * 400: STEP}))
    protocol.parse(waiting(clientWaitpointId="i", kind="RUN", meta={"childWorkflowId": "w" * 200}))
    protocol.parse(waiting(clientWaitpointId="s", kind="DATETIME", meta={"durationMs": 8.64e15}))


def test_a_number_that_is_not_finite() -> None:
    """``1e400`` reads as infinity, which JSON cannot hold again; the answer is refused as broken."""
    raw = json.dumps(answer(output=1)).replace('"output": 1', '"output": 1e400')
    assert "1e400" in raw
    with pytest.raises(ProtocolError):
        http._believe(Answer(200, {}, raw.encode()))
