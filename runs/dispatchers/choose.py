"""Which dispatcher serves a run: an inline workflow of this server, a configured row, or the default tenant."""

from __future__ import annotations

import fnmatch
import time

from django.conf import settings

from runs import registry
from runs.dispatchers.base import Dispatcher
from runs.dispatchers.http import HTTPDispatcher
from runs.dispatchers.inline import InlineDispatcher
from runs.models import Dispatcher as Row
from runs.policy import current
from zelavis import encryption

_KEEP_SECONDS = 2.0
_rows: list[Row] = []
_read_at = float("-inf")


def choose(workflow_id: str, tenant: str) -> Dispatcher | None:
    """The dispatcher, or ``None`` when nothing here could know the workflow."""
    found = registry.get(workflow_id)
    if found is not None:
        return InlineDispatcher(found)
    row = _best(workflow_id, tenant)
    if row is not None:
        return HTTPDispatcher(
            name=row.name, url=row.url, secret=encryption.unseal(row.secret), seconds=row.timeout_seconds
        )
    environment = settings.ENVIRONMENT
    if environment.runs_tenant_url:
        return HTTPDispatcher(
            name="default",
            url=environment.runs_tenant_url,
            secret=environment.runs_tenant_secret,
            seconds=current().dispatch_seconds,
        )
    return None


def forget() -> None:
    """Read the configured rows again at the next choice."""
    global _read_at
    _read_at = float("-inf")


def _best(workflow_id: str, tenant: str) -> Row | None:
    """The most specific row: one that names the workflow before one that names the tenant before one for all."""
    global _rows, _read_at
    if time.monotonic() - _read_at > _KEEP_SECONDS:
        _rows, _read_at = list(Row.objects.filter(enabled=True)), time.monotonic()
    fitting = [
        row
        for row in _rows
        if row.tenant in ("", tenant) and (not row.workflow or fnmatch.fnmatchcase(workflow_id, row.workflow))
    ]
    return max(
        fitting, key=lambda row: (bool(row.workflow), "*" not in row.workflow, bool(row.tenant), row.name), default=None
    )
