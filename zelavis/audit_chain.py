"""The chain over the audit log: rows that were changed, taken out or put in between are found.

A minute after they were written at the latest, rows get the next numbers and a digest over themselves and the digest
before. Not in the transaction that writes them: every deed of the server would have to stand in line for it. Who can
write the database can forge the whole chain anew; what they cannot change is an export that lies elsewhere, and a
number with its digest that the log of the server told.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import IntegrityError, transaction

from zelavis.errors import ZelavisError
from zelavis.models import AuditEvent

logger = logging.getLogger("zelavis.audit")
#: The digest before the first row.
START = "0" * 64
#: Rows that one transaction seals.
BATCH = 500


class AuditLogChanged(ZelavisError):
    """The audit log is not what was sealed or exported."""

    code = "audit_log_changed"
    status = 409


@dataclass(frozen=True, kw_only=True)
class Head:
    """The last sealed row; number 0 of an empty chain."""

    number: int
    digest: str


def digest(before: str, row: dict[str, Any]) -> str:
    """SHA-256 over the digest before and a row as :func:`export` gives it, its own digest left out."""
    kept = {name: value for name, value in row.items() if name != "digest"}
    text = json.dumps([before, kept], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seal() -> Head:
    """Put the rows that are new at the end of the chain. Two that do so at once do it once."""
    last = _last()
    try:
        while rows := list(AuditEvent.objects.filter(number=None).order_by("created_at", "id")[:BATCH]):
            with transaction.atomic():
                for row in rows:
                    number = last.number + 1
                    last = Head(number=number, digest=digest(last.digest, _shown(row, number)))
                    AuditEvent.objects.filter(pk=row.pk, number=None).update(number=number, digest=last.digest)
            logger.info("audit log sealed", extra={"number": last.number, "digest": last.digest})
    except IntegrityError:
        # Another process gave out the same numbers; the rest is its work, or the next minute's.
        last = _last()
    return last


def export() -> Iterator[dict[str, Any]]:
    """Every sealed row in order, as JSON objects."""
    for row in AuditEvent.objects.exclude(number=None).order_by("number").iterator(chunk_size=BATCH):
        yield {**_shown(row, row.number or 0), "digest": row.digest}


def check(rows: Iterable[dict[str, Any]]) -> Head:
    """Follow the chain of rows as exported from its start; its last number and digest.

    Raises:
        AuditLogChanged: the number of the first row that does not fit.
    """
    last = Head(number=0, digest=START)
    for row in rows:
        number = last.number + 1
        if row.get("number") != number:
            raise AuditLogChanged(f"Row {number} of the audit log is missing.")
        found = digest(last.digest, row)
        if not hmac.compare_digest(found, str(row.get("digest"))):
            raise AuditLogChanged(f"Row {number} of the audit log ({row.get('id')}) is not as it was sealed.")
        last = Head(number=number, digest=found)
    return last


def compare(exported: Head) -> None:
    """Whether the log still holds, at its number, what an export ended with.

    Raises:
        AuditLogChanged: it was cut off, or its chain was made anew.
    """
    if exported.number and not AuditEvent.objects.filter(number=exported.number, digest=exported.digest).exists():
        raise AuditLogChanged(f"Row {exported.number} is not in the audit log as it was exported.")


def _last() -> Head:
    row = AuditEvent.objects.exclude(number=None).order_by("-number").values_list("number", "digest").first()
    return Head(number=row[0] or 0, digest=row[1]) if row else Head(number=0, digest=START)


def _shown(row: AuditEvent, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "id": row.pk,
        "at": row.created_at.astimezone(UTC).isoformat(),
        "action": row.action,
        "target": row.target,
        "actor": row.actor,
        "reason": row.reason,
        "changes": row.changes,
        "requestId": row.request_id,
    }
