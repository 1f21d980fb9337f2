"""``manage.py audit check [FILE] | export``: the chain over the audit log."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from zelavis import audit_chain
from zelavis.errors import ZelavisError


class Command(BaseCommand):
    """Check that the audit log is what was sealed, alone or against an earlier export; or export it."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=("check", "export"), help="export: one JSON object a line")
        parser.add_argument("file", nargs="?", type=Path, help="check: an earlier export to compare with")

    def handle(self, *args: Any, **options: Any) -> None:
        audit_chain.seal()
        if options["what"] == "export":
            for row in audit_chain.export():
                self.stdout.write(json.dumps(row, ensure_ascii=False))
            return
        try:
            head = audit_chain.check(audit_chain.export())
            if options["file"]:
                exported = audit_chain.check(_rows(options["file"]))
                audit_chain.compare(exported)
                self.stdout.write(f"the export of {exported.number} rows is in the log as it was")
        except ZelavisError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{head.number} rows, none changed; the last digest is {head.digest}")


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        return [dict(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(f"{file} cannot be read as an export: {error}") from error
