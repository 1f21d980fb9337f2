"""``manage.py create_token NAME --scope SCOPE …``: make an API token and print it, alone, on standard output."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from zelavis import audit, tokens
from zelavis.errors import ZelavisError


class Command(BaseCommand):
    """Make an API token and print it, alone, on standard output. It is shown this once."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the token is for; shown in lists and in the audit log")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            metavar="SCOPE",
            help=f"may be given several times; * stands for all. Scopes: {', '.join(tokens.SCOPES)}",
        )
        parser.add_argument("--tenant", default="", help="durable runs of this tenant only")
        parser.add_argument("--days", type=int, help="the token ends after so many days")

    def handle(self, *args: Any, **options: Any) -> None:
        days: int | None = options["days"]
        if days is not None and not 0 < days <= 3650:
            raise CommandError("--days takes a number from 1 to 3650.")
        try:
            token, secret = tokens.create(
                options["name"],
                options["scope"],
                tenant=options["tenant"],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
            )
        except ZelavisError as error:
            raise CommandError(error.message) from error
        audit.record(
            "token.create", target=f"token:{token.name}", actor="command", changes={"scopes": [[], token.scopes]}
        )
        self.stdout.write(secret)
