"""``manage.py import_feed FILE --source NAME --reason WHY``: take over a signed feed or allow-list from a file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace import actors, importing
from zelavis.errors import ZelavisError


class Command(BaseCommand):
    """Take over a signed feed or allow-list that was carried here as a file."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="as fetched from …/api/marketplace/allowlist or …/feed")
        parser.add_argument("--source", required=True, help="name of the feed source whose key must have signed it")
        parser.add_argument("--reason", required=True, help="for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["file"].open("rb") as file:
                document = importing.read(file)
            source = importing.find(options["source"])
            feed = importing.take(source, document, actor=actors.system("command"), reason=options["reason"])
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from error
        except ZelavisError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
        allowed = "" if feed.allowed is None else f", {len(feed.allowed)} allowed"
        self.stdout.write(f"{source.name}: serial {feed.serial}, {len(feed.revocations)} revoked{allowed}")
