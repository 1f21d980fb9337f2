"""Recording a call and running it again.

A tape holds the envelope, every host call with its answer, and the outcome. A call takes clock and randomness from its
envelope and everything else from its host calls, so the same artifact on the same tape gives the same outcome, byte
for byte; another release gives a difference that can be read. Nothing is stored and nothing is sent by a replay.
"""

from __future__ import annotations

import base64
import difflib
import functools
import importlib.metadata
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings

from sandbox.artifact import Artifact
from sandbox.call import Call
from sandbox.errors import SandboxError
from sandbox.limits import Limits
from sandbox.outcome import HostCall, Outcome, OutcomeStatus

if TYPE_CHECKING:
    from sandbox.host import Finished
    from sandbox.models import Tape

logger = logging.getLogger("sandbox.tape")


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another release of a plugin, on which its tapes can be replayed whether it ever ran here or not."""

    #: sha256 of its source.
    digest: str
    version: str
    #: Makes it ready on this host; raises what has ``code`` and ``message``.
    deploy: Callable[[], Artifact]


#: Gives the releases of a plugin that may be replayed on, newest first; filled in ``AppConfig.ready``.
RELEASES: list[Callable[[str], Sequence[Other]]] = []
#: Names of a plugin's settings that no tape keeps, whatever they are called; filled in ``AppConfig.ready``.
HIDDEN_SETTINGS: list[Callable[[str], frozenset[str]]] = []


def others(plugin: str) -> dict[str, Other]:
    """Releases of a plugin by their digest: those that are offered, and those that ran here."""
    from sandbox import compiler
    from sandbox.models import Invocation

    found = {one.digest: one for give in RELEASES for one in give(plugin)}
    ran = Invocation.objects.filter(plugin=plugin).order_by().values_list("digest", "version").distinct()[:50]
    for digest, version in ran:
        found.setdefault(digest, Other(digest=digest, version=version, deploy=functools.partial(compiler.load, digest)))
    return found


#: Largest tape that is kept, and how many failures of one plugin are kept an hour.
MOST_BYTES = 2 << 20
MOST_FAILURES_AN_HOUR = 30
_FINE = (OutcomeStatus.OK, OutcomeStatus.REJECTED, OutcomeStatus.BUSY)
_SECRET_NAME = re.compile(
    r"passw|secret|token|authori[sz]ation|cookie|api[-_]?key|credential|private[-_]?key", re.IGNORECASE
)
REDACTED = "[redacted]"


class TapeNotFound(SandboxError):
    """There is no tape of this name."""

    code = "tape_not_found"
    status = 404


class TapeUnreadable(SandboxError):
    """This is not a tape, or one of a format that this version does not know."""

    code = "tape_unreadable"
    status = 422


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What came of running a tape again."""

    #: Whether the outcome is the recorded one, byte for byte.
    same: bool
    outcome: Outcome
    #: Unified diff of recorded and new: outcome, then host calls. Empty when the same.
    diff: str
    #: What limits the comparison: another release or engine, redacted members, a wall-clock outcome.
    notes: tuple[str, ...] = ()


@dataclass
class Recording:
    """Answers host calls from a tape: in order, and where another release asks in another order, by content."""

    calls: Sequence[HostCall]
    asked: list[HostCall] = field(default_factory=list)
    missed: int = 0
    _used: set[int] = field(default_factory=set)

    def answer(self, family: str, request: bytes) -> HostCall:
        """The recorded answer, or a fault ``not_on_tape``."""
        for position, call in enumerate(self.calls):
            if position not in self._used and call.family == family and call.request == request:
                self._used.add(position)
                self.asked.append(call)
                return call
        self.missed += 1
        fault = b'{"error":"This host call is not on the tape.","code":"not_on_tape"}'
        told = HostCall(family=family, request=request, answer=fault, op=_operation(request))
        self.asked.append(told)
        return told


# -- recording ---------------------------------------------------------------------------------------------------


def observe(finished: Finished) -> None:
    """Keep a tape when the call failed or is in the sample. An observer of ``sandbox.host``."""
    from sandbox.models import Tape

    call, outcome = finished.call, finished.outcome
    if outcome.status in _FINE:
        if call.seed % 10_000 >= settings.SANDBOX_TAPE_SAMPLE * 10_000:
            return
        reason = Tape.Reason.SAMPLE
    else:
        reason = Tape.Reason.FAILURE
        since = datetime.fromtimestamp(call.now_ms / 1000, tz=UTC) - timedelta(hours=1)
        if Tape.objects.filter(plugin=call.plugin, created_at__gt=since).count() >= MOST_FAILURES_AN_HOUR:
            return
    keep(finished, reason=reason)


def keep(finished: Finished, *, reason: str) -> Tape | None:
    """Write the tape of a finished call; ``None`` when it is larger than a tape may be."""
    from sandbox.models import Tape

    call = finished.call
    body = write(finished)
    size = len(body.encode())
    if size > MOST_BYTES:
        logger.info("tape not kept: too large", extra={"invocation": call.id, "bytes": size})
        return None
    return Tape.objects.update_or_create(
        id=call.id,
        defaults={
            "created_at": datetime.fromtimestamp(call.now_ms / 1000, tz=UTC),
            "plugin": call.plugin,
            "version": call.version[:64],
            "digest": finished.artifact.digest,
            "hook": call.hook[:120],
            "status": finished.outcome.status.value,
            "reason": reason,
            "body": body,
            "size": size,
        },
    )[0]


def write(finished: Finished) -> str:
    """The tape as JSON text, with members that look like secrets taken out of event and settings."""
    call = finished.call
    event, in_event = _redacted(call.event)
    hidden = frozenset().union(*(names(call.plugin) for names in HIDDEN_SETTINGS))
    shown = {name: REDACTED if name in hidden else value for name, value in call.settings.items()}
    configured, in_settings = _redacted(shown)
    in_settings += sum(name in hidden and not _SECRET_NAME.search(name) for name in shown)
    return json.dumps(
        {
            "format": 1,
            "engine": engine(),
            "artifact": {"digest": finished.artifact.digest, "kind": finished.artifact.kind},
            "call": {
                "id": call.id,
                "plugin": call.plugin,
                "version": call.version,
                "hook": call.hook,
                "event": event,
                "nowMs": call.now_ms,
                "seed": str(call.seed),
                "settings": configured,
                "depth": call.depth,
            },
            "redacted": in_event + in_settings,
            "grants": {name: dict(grant) for name, grant in finished.grants.items()},
            "limits": asdict(finished.limits),
            "hostCalls": [_written(one) for one in finished.transcript],
            "outcome": told(finished.outcome),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def engine() -> str:
    """What decides how a module runs, beside its own bytes."""
    return f"wasmtime {importlib.metadata.version('wasmtime')}"


def told(outcome: Outcome) -> dict[str, Any]:
    """What of an outcome is the same every time: everything but durations, memory and the operator's detail."""
    return {
        "status": outcome.status.value,
        "result": outcome.result,
        "error": asdict(outcome.error) if outcome.error else None,
        "hostCalls": outcome.host_calls,
        "refusals": [[one.capability, one.op, one.code] for one in outcome.refusals],
        "logs": [[line.level, line.message] for line in outcome.logs],
    }


def _redacted(value: Any) -> tuple[Any, int]:
    """A copy without the values of members that are named like secrets, and how many there were."""
    if isinstance(value, Mapping):
        count, copy = 0, {}
        for name, member in value.items():
            if _SECRET_NAME.search(str(name)) and member not in (None, "", False, True):
                copy[name], found = REDACTED, 1
            else:
                copy[name], found = _redacted(member)
            count += found
        return copy, count
    if isinstance(value, (list, tuple)):
        pairs = [_redacted(member) for member in value]
        return [pair[0] for pair in pairs], sum(pair[1] for pair in pairs)
    return value, 0


def _written(call: HostCall) -> dict[str, Any]:
    written: dict[str, Any] = {"family": call.family, "op": call.op, "refused": call.refused}
    try:
        return {**written, "request": call.request.decode(), "answer": call.answer.decode()}
    except UnicodeDecodeError:
        # A guest may send bytes that are no text; they are kept as they were.
        return {**written, "requestBase64": base64.b64encode(call.request).decode(), "answer": call.answer.decode()}


# -- replaying ---------------------------------------------------------------------------------------------------


def get(name: str) -> str:
    """The text of a kept tape.

    Raises:
        TapeNotFound: there is none.
    """
    from sandbox.models import Tape

    body = Tape.objects.filter(pk=name).values_list("body", flat=True).first()
    if body is None:
        raise TapeNotFound(f"There is no tape {name}.")
    return body


def replay(body: str, *, artifact: Artifact | None = None) -> Replay:
    """Run a tape again, on its own artifact or on another one.

    Raises:
        TapeUnreadable: not a tape.
        SandboxError: the artifact is not deployed here.
    """
    from sandbox import compiler, host
    from sandbox.capabilities.backends.memory import MemoryBackend

    tape = read(body)
    notes = []
    own = artifact is None or artifact.digest == tape["artifact"]["digest"]
    artifact = artifact or compiler.load(tape["artifact"]["digest"])
    if not own:
        notes.append(f"another artifact: {tape['artifact']['digest'][:12]} was recorded, {artifact.digest[:12]} ran")
    if tape["engine"] != engine():
        notes.append(f"another engine: {tape['engine']} was recorded, {engine()} ran")
    if tape["redacted"]:
        notes.append(f"{tape['redacted']} members were redacted when the tape was written")
    status, error = tape["outcome"]["status"], tape["outcome"]["error"] or {}
    if status == "cancelled":
        notes.append("the recorded call was ended from outside, which a replay is not")
    if status == "deadline":
        notes.append("the recorded call ended by the wall clock, which no tape can repeat exactly")
    if str(error.get("code", "")).startswith("commit_"):
        notes.append("the recorded call failed while its writes were stored, which a replay does not do")
    if status == "host_error" and not str(error.get("code", "")).startswith(("commit_", "input_")):
        notes.append("the recorded call failed because its host did, which a replay does not do")
    call = tape["call"]
    recording = Recording([_call(one) for one in tape["hostCalls"]])
    outcome = host.execute(
        artifact,
        Call(
            id=call["id"],
            plugin=call["plugin"],
            version=call["version"],
            hook=call["hook"],
            event=call["event"],
            now_ms=call["nowMs"],
            seed=int(call["seed"]),
            settings=call["settings"],
            depth=call["depth"],
        ),
        grants=tape["grants"],
        limits=Limits(**tape["limits"]),
        backend=MemoryBackend(recorded=recording),
        record=False,
    )
    if recording.missed:
        notes.append(f"{recording.missed} host calls are not on the tape")
    before = _lines(tape["outcome"], [_call(one) for one in tape["hostCalls"]])
    after = _lines(told(outcome), recording.asked)
    diff = "\n".join(difflib.unified_diff(before, after, "recorded", "replayed", lineterm="", n=2))
    return Replay(same=before == after, outcome=outcome, diff=diff, notes=tuple(notes))


def read(body: str) -> dict[str, Any]:
    """A tape's members.

    Raises:
        TapeUnreadable: not a tape.
    """
    try:
        tape = json.loads(body)
        known = isinstance(tape, dict) and tape.get("format") == 1
        members = {"engine", "artifact", "call", "redacted", "grants", "limits", "hostCalls", "outcome"}
        if not known or not members <= tape.keys():
            raise TapeUnreadable
        _check(tape)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TapeUnreadable from error
    else:
        return tape  # type: ignore[no-any-return]


_CALL = {"id": str, "plugin": str, "version": str, "hook": str, "nowMs": int, "settings": dict, "depth": int}


def _check(tape: dict[str, Any]) -> None:
    """Look at whatever a replay uses: a tape may come from a file that somebody changed.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: a member is missing or of the wrong kind.
    """
    call, outcome = tape["call"], tape["outcome"]
    Limits(**tape["limits"])
    int(call["seed"])
    calls = [_call(one) for one in tape["hostCalls"]]
    members = [(call[name], kind) for name, kind in _CALL.items()]
    members += [(call, dict), (tape["engine"], str), (tape["artifact"]["digest"], str), (outcome["status"], str)]
    members += [(outcome["error"] if outcome["error"] is not None else {}, dict)]
    members += [(grant, dict) for grant in tape["grants"].values()]
    members += [(one.family, str) for one in calls] + [(one.op, str) for one in calls]
    if "event" not in call or not all(isinstance(value, kind) for value, kind in members):
        raise TypeError("a member is of another kind")
    for one in calls:
        told = json.loads(one.answer)
        if one.refused and not (isinstance(told["code"], str) and isinstance(told["error"], str)):
            raise TypeError("a refusal says no reason")


def _call(written: Mapping[str, Any]) -> HostCall:
    encoded = written.get("requestBase64")
    return HostCall(
        family=written["family"],
        request=base64.b64decode(encoded) if encoded is not None else written["request"].encode(),
        answer=written["answer"].encode(),
        op=written["op"],
        refused=written["refused"],
    )


def _lines(outcome: Mapping[str, Any], calls: Sequence[HostCall]) -> list[str]:
    lines = json.dumps(outcome, ensure_ascii=False, indent=1).splitlines()
    return lines + [
        f"{one.family} {one.request.decode('utf-8', 'replace')} -> {one.answer.decode('utf-8', 'replace')}"
        for one in calls
    ]


def _operation(request: bytes) -> str:
    try:
        operation = json.loads(request)["op"]
    except (ValueError, TypeError, KeyError):
        return "?"
    return str(operation)[:100]
