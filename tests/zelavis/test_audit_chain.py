"""The chain over the audit log: what was done to the log afterwards is found (G10)."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from zelavis import audit, audit_chain, tasks
from zelavis.audit_chain import AuditLogChanged
from zelavis.models import AuditEvent

pytestmark = pytest.mark.django_db


def _write(*actions: str) -> None:
    for action in actions:
        audit.record(action, target="x:1", actor="user:ana", reason="Why ✓", changes={"b": [1, 2.5], "a": [None, "é"]})


def _output(*arguments: str) -> str:
    out = StringIO()
    call_command("audit", *arguments, stdout=out)
    return out.getvalue()


def test_rows_join_the_chain_in_order_once() -> None:
    """The job numbers new rows without gaps, goes on where it ended, and a second time changes nothing."""
    _write("a.one", "a.two")
    tasks.seal_audit()
    before = list(audit_chain.export())
    _write("a.three")
    head = audit_chain.seal()
    rows = list(audit_chain.export())
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert rows[:2] == before
    assert audit_chain.seal() == head == audit_chain.check(rows)


def test_batches_are_one_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than one transaction takes are one chain all the same."""
    monkeypatch.setattr(audit_chain, "BATCH", 3)
    _write(*(f"a.n{number}" for number in range(8)))
    assert audit_chain.seal().number == 8
    assert audit_chain.check(audit_chain.export()).number == 8


@pytest.mark.parametrize(
    "field", ["action", "target", "actor", "reason", "request_id", "changes", "created_at", "digest", "deleted", "swap"]
)
def test_g10_whatever_is_done_to_a_row_is_found(field: str) -> None:
    """G10: a row that was changed in any column, taken out or moved is told by its number, and exit is not 0."""
    _write("a.one", "a.two", "a.three")
    audit_chain.seal()
    rows = AuditEvent.objects.filter(number=2)
    if field == "deleted":
        rows.delete()
    elif field == "swap":
        other = AuditEvent.objects.get(number=3)
        AuditEvent.objects.filter(pk=other.pk).update(number=None)
        rows.update(number=3)
        AuditEvent.objects.filter(pk=other.pk).update(number=2)
    elif field == "changes":
        rows.update(changes={"b": [1, 2.5], "a": [None, "e"]})
    elif field == "created_at":
        rows.update(created_at=AuditEvent.objects.get(number=1).created_at)
    else:
        rows.update(**{field: "other"})
    with pytest.raises(CommandError, match="Row 2 of the audit log"):
        _output("check")


def test_g10_an_export_finds_a_log_that_was_cut_or_forged(tmp_path: Path) -> None:
    """G10: a chain that was cut off, or computed anew over other rows, is whole in itself; an export tells."""
    _write("a.one", "a.two", "a.three")
    kept = tmp_path / "audit.jsonl"
    kept.write_text(_output("export"), encoding="utf-8")
    _write("a.four")
    assert "the export of 3 rows is in the log as it was" in _output("check", str(kept))
    AuditEvent.objects.filter(number__gte=3).delete()
    assert audit_chain.check(audit_chain.export()).number == 2
    with pytest.raises(CommandError, match="Row 3 is not in the audit log as it was exported"):
        _output("check", str(kept))
    AuditEvent.objects.update(number=None, digest="", actor="user:other")
    _write("a.three")
    assert audit_chain.seal().number == 3
    assert audit_chain.check(audit_chain.export()).number == 3
    with pytest.raises(CommandError, match="Row 3 is not in the audit log as it was exported"):
        _output("check", str(kept))


@pytest.mark.parametrize("line", ["no JSON", "[1]", '"text"', "5"])
def test_a_file_that_is_no_export_is_one_line(tmp_path: Path, line: str) -> None:
    """What cannot be read as an export is said in one line; an export that was itself changed too."""
    file = tmp_path / "audit.jsonl"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(CommandError, match=r"cannot be read as an export|Row 1 of the audit log is missing"):
        _output("check", str(file))
    _write("a.one")
    exported = json.loads(_output("export"))
    file.write_text(json.dumps({**exported, "actor": "user:other"}), encoding="utf-8")
    with pytest.raises(CommandError, match="Row 1 of the audit log"):
        _output("check", str(file))
    with pytest.raises(AuditLogChanged):
        audit_chain.check([{}])
