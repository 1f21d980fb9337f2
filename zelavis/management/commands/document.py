"""``manage.py document``: write the parts of docs/ that are derived from the code, or check that they are current."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from zelavis.api import description


class Command(BaseCommand):
    """Write docs/reference/openapi.json and docs/reference/api.md from the code; --check only compares."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not current")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.BASE_DIR) / "docs" / "reference"
        stale = []
        for name, text in description.files().items():
            path = folder / name
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            stale.append(name)
            if not options["check"]:
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"wrote docs/reference/{name}")
        if stale and options["check"]:
            raise CommandError(f"Not current: {', '.join(stale)}. Run manage.py document.")
        if not stale:
            self.stdout.write("current")
