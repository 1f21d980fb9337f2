"""Many sleeping runs at once, written as rows: as if each had been triggered and had parked long ago."""

from __future__ import annotations

import psycopg

_META = '{"tenantMeta":{"tenantId":"default"},"triggeredBy":{"kind":"api"},"tags":[]}'


def insert(url: str, prefix: str, count: int, *, wake_in_ms: int) -> None:
    """``count`` runs of ``chaos-sleeper`` that wake ``wake_in_ms`` from now, by the database's clock."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE made ON COMMIT DROP AS SELECT %s || '-' || n AS id, "
            "(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now FROM generate_series(1, %s) n",
            [prefix, count],
        )
        connection.execute("UPDATE made SET now = (SELECT max(now) FROM made)")
        connection.execute(
            "INSERT INTO runs_run (id, tenant, workflow_id, workflow_version, environment, status, fence, lease_owner, "
            "wake_at, next_seq, invocations, metadata_cursor, compute_ms, priority, attempts, claims, buffered, "
            "paused, created_at, started_at) "
            "SELECT id, 'default', 'chaos-sleeper', 'v1', 'development', 'waiting', 1, '', "
            "now + %s, 2, 1, 0, 0, 0, 0, 0, 0, false, now, now FROM made",
            [wake_in_ms],
        )
        connection.execute(
            "INSERT INTO runs_data (run_id, input, meta, metadata_state, body_hash) "
            "SELECT id, '{\"sleep\": 1}', %s, '{}', '' FROM made",
            [_META],
        )
        connection.execute(
            "INSERT INTO runs_journal (run_id, seq, kind, key, data, fence, at) "
            "SELECT id, 1, 'invocation', '1', '{\"status\":\"waiting\"}', 1, now FROM made"
        )
        connection.execute(
            "INSERT INTO runs_waitpoint (run_id, key, tenant, environment, kind, match_key, ordinal, meta, wake_at, "
            "state, created_at, resolved_by) SELECT id, 'sleep:1', 'default', 'development', 'DATETIME', '', 0, '{}', "
            "now + %s, 'pending', now, '' FROM made",
            [wake_in_ms],
        )
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("runs_run", "runs_data", "runs_journal", "runs_waitpoint"):
            connection.execute(f"ANALYZE {table}")  # type: ignore[arg-type]
