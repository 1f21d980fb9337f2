"""The record of a run as the API shows it: the seed's fields, assembled from rows. Absent members are left out."""

from __future__ import annotations

from typing import Any

from runs import jsontext, sql, states
from runs.held import COLUMNS, Held
from runs.jsontext import ABSENT
from runs.models import JournalEntry
from zelavis.errors import NotFound

_SELECT = ", ".join(f"r.{name.strip()}" for name in COLUMNS.split(","))


def load(run_id: str, *, tenant: str = "") -> dict[str, Any]:
    """The RunRecord.

    Raises:
        NotFound: no such run, or it belongs to another tenant than ``tenant`` (empty: any).
    """
    with sql.cursor() as cursor:
        cursor.execute(
            f"SELECT {_SELECT}, d.input, d.output, d.error, d.meta, d.metadata_state "
            "FROM runs_run r JOIN runs_data d ON d.run_id = r.id WHERE r.id = %s",
            [run_id],
        )
        row = cursor.fetchone()
        if row is None or (tenant and row[1] != tenant):
            raise NotFound(f"no run {run_id[:200]!r} is stored here")
        run = Held(*row[:-5])
        journal, numbered = _journal(cursor, run)
        pending = _pending(cursor, run) if run.status in states.ACTIVE else []
        # Journal and pieces of streams share their numbers: when the journal has them all there are no pieces.
        streams = _streams(cursor, run) if numbered < run.next_seq - 1 else {}
    given, output, error, meta, metadata = row[-5:]
    run.input, run.output = jsontext.value_or_absent(given), jsontext.value_or_absent(output)
    run.error = None if error is None else jsontext.loads(error)
    run.meta = jsontext.loads(meta)
    journal["metadataState"] = jsontext.loads(metadata)
    return _record(run, journal, pending, streams)


def of(held: Held) -> dict[str, Any] | None:
    """The record of a run that its driver has just ended, as it was at that commit, without asking the database.

    ``None``: it has not ended, or not all of its record is in the driver's memory.
    """
    if not (held.whole and states.is_terminal(held.status)):
        return None
    journal = {
        "stepResults": held.steps,
        "waitpointsResolved": held.resolved,
        "compensationsRun": held.compensations,
        "metadataState": held.metadata,
        "streamsCompleted": held.streams,
    }
    return _record(held, journal, [], {})


def _record(
    run: Held, journal: dict[str, Any], pending: list[dict[str, Any]], streams: dict[str, list[Any]]
) -> dict[str, Any]:
    meta = run.meta
    record: dict[str, Any] = {
        "id": run.id,
        "workflowId": run.workflow_id,
        "workflowVersion": run.workflow_version,
        "status": run.status,
    }
    if run.input is not ABSENT:
        record["input"] = run.input
    if run.output is not ABSENT:
        record["output"] = run.output
    if run.error is not None:
        record["error"] = run.error
    record |= {
        "journal": journal,
        "invocationCount": run.invocations,
        "metadataAppliedCount": run.metadata_cursor,
        "computeTimeMs": run.compute_ms,
        "pendingWaitpoints": pending,
        "streams": streams,
        "startedAt": run.started_at,
        "triggeredBy": meta["triggeredBy"],
        "tags": meta["tags"],
        "environment": run.environment,
        "tenantMeta": meta["tenantMeta"],
        "runMeta": meta.get("runMeta", {"number": 1, "attempt": 1}),
    }
    optional: dict[str, Any] = {
        "completedAt": run.completed_at,
        "timeoutMs": run.timeout_ms,
        "deadline": run.deadline,
        "priority": meta.get("priority"),
        "idempotencyKey": meta.get("idempotencyKey"),
        "provenance": meta.get("provenance"),
        "concurrencyKey": run.concurrency_key,
        "paused": True if run.paused else None,
        "parent": None if run.parent_id is None else {"runId": run.parent_id, "waitpointId": run.parent_waitpoint},
    }
    return record | {name: value for name, value in optional.items() if value is not None}


def _journal(cursor: Any, run: Held) -> tuple[dict[str, Any], int]:
    """The journal as shown, and how many entries it had when the run was read."""
    names = {
        JournalEntry.STEP: "stepResults",
        JournalEntry.RESOLVED: "waitpointsResolved",
        JournalEntry.COMPENSATION: "compensationsRun",
        JournalEntry.STREAM: "streamsCompleted",
    }
    journal: dict[str, Any] = {
        "stepResults": {},
        "waitpointsResolved": {},
        "compensationsRun": {},
        "metadataState": {},
        "streamsCompleted": {},
    }
    numbered = 0
    if run.next_seq > 1:
        cursor.execute("SELECT seq, kind, key, data FROM runs_journal WHERE run_id = %s ORDER BY seq", [run.id])
        for seq, kind, key, data in cursor.fetchall():
            numbered += seq < run.next_seq
            if kind in names:
                journal[names[kind]][key] = jsontext.loads(data)
    return journal, numbered


def _pending(cursor: Any, run: Held) -> list[dict[str, Any]]:
    cursor.execute(
        "SELECT key, kind, meta, timeout_ms FROM runs_waitpoint WHERE run_id = %s AND state = 'pending' "
        "ORDER BY ordinal",
        [run.id],
    )
    return [
        {"clientWaitpointId": key, "kind": kind, "meta": jsontext.loads(meta)}
        | ({} if timeout is None else {"timeoutMs": timeout})
        for key, kind, meta, timeout in cursor.fetchall()
    ]


def _streams(cursor: Any, run: Held) -> dict[str, list[Any]]:
    cursor.execute("SELECT stream_id, data FROM runs_chunk WHERE run_id = %s ORDER BY ordinal", [run.id])
    streams: dict[str, list[Any]] = {}
    for stream_id, data in cursor.fetchall():
        streams.setdefault(stream_id, []).append(jsontext.loads(data))
    return streams
