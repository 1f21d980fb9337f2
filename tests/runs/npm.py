"""Our server and the npm tenant, both as processes, and a client of the seed between them and the tests."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests import server
from tests.runs import production, tenants

TERMINAL = {"completed", "failed", "cancelled", "compensated", "compensation_failed"}
TENANT_META = {"tenantId": "tnt_demo", "projectId": "prj_demo", "organizationId": "org_demo"}
_numbers = itertools.count(1)


class House:
    """Both processes."""

    def __init__(self, zelavis: server.Server | production.Production, tenant: tenants.Tenant) -> None:
        self.zelavis, self.tenant, self.api = zelavis, tenant, zelavis.api

    def post(self, path: str, body: Any = None) -> httpx.Response:
        """Any request of a client."""
        return self.api.post(f"/api{path}", json={} if body is None else body)

    def trigger(self, workflow: str, given: Any = None, **members: Any) -> dict[str, Any]:
        """Start a run as the seed's client does; the record as answered."""
        body = {"workflowId": workflow, "workflowVersion": "v1", "tenantMeta": TENANT_META, "input": given} | members
        body.setdefault("runId", f"r{next(_numbers)}-{workflow}")
        answer = self.post("/runs", body)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def record(self, run_id: str) -> dict[str, Any]:
        """The run as it stands."""
        answer = self.api.get(f"/api/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def inject(self, run_id: str, what: str, **body: Any) -> dict[str, Any]:
        """Send an event, signal or token's answer; the record as answered."""
        answer = self.post(f"/runs/{run_id}/{what}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def ended(self, run_id: str, *, seconds: float = 10) -> dict[str, Any]:
        """The record once the run has ended."""
        return self.until(run_id, lambda record: record["status"] in TERMINAL, seconds=seconds)

    def parked(self, run_id: str, *keys: str, seconds: float = 10) -> dict[str, Any]:
        """The record once the run waits for exactly ``keys``."""
        return self.until(
            run_id, lambda record: record["status"] == "waiting" and waits(record) == list(keys), seconds=seconds
        )

    def until(self, run_id: str, fits: Any, *, seconds: float = 10) -> dict[str, Any]:
        """The record once it ``fits``."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            last.update(record := self.record(run_id))
            return record if fits(record) else None

        try:
            return server.eventually(look, seconds=seconds, what="the run's change")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last}") from None

    def children(self, run_id: str) -> list[str]:
        """The runs that a run started and waits or waited for."""
        listed = self.api.get("/api/runs", params={"parent": run_id}).json()
        return [run["id"] for run in listed["runs"]]


def waits(record: dict[str, Any]) -> list[str]:
    """What a run waits for."""
    return [wait["clientWaitpointId"] for wait in record["pendingWaitpoints"]]


@contextlib.contextmanager
def opened(folder: Path, **variables: str) -> Iterator[House]:
    """Both for the length of a ``with`` block; as in production where the suite is told a database and a broker."""
    url, broker = os.environ.get("NPM_DATABASE_URL"), os.environ.get("NPM_BROKER_URL")
    with tenants.running(folder / "ran.jsonl") as tenant:
        given = {"ZELAVIS_RUNS_TENANT_URL": tenant.url, "ZELAVIS_RUNS_TENANT_SECRET": tenants.SECRET} | variables
        if url and broker:
            with production.running(folder / "data", new_database(url), broker, **given) as parts:
                yield House(parts, tenant)
        else:
            with server.running(folder / "data", **given) as zelavis:
                yield House(zelavis, tenant)


def new_database(url: str) -> str:
    """The URL of a new, empty database beside the one of ``url``."""
    name = f"npm_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{url.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all; conftest.py makes it known."""
    with opened(tmp_path_factory.mktemp("house")) as running:
        yield running
