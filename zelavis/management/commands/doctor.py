"""``manage.py doctor``: what is configured, what is missing, what is overdue."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import django
from django.conf import settings
from django.core import checks
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

import zelavis
from zelavis import heartbeat, wakeups
from zelavis.api.health import OVERDUE_SECONDS
from zelavis.environment import Environment


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``level``: ``ok``, ``notice`` (works, but look at it) or ``problem``."""

    level: str
    topic: str
    text: str


class Command(BaseCommand):
    """Report what is configured, what is missing and what is overdue. Exits 1 when there is a problem."""

    help = __doc__ or ""
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON array instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(examine())
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in found], indent=2))
        else:
            marks = {"ok": "ok     ", "notice": "notice ", "problem": "PROBLEM"}
            for finding in found:
                self.stdout.write(f"{marks[finding.level]}  {finding.topic}: {finding.text}")
        if any(finding.level == "problem" for finding in found):
            sys.exit(1)


def examine() -> Iterator[Finding]:
    """Everything there is to say, settings first."""
    environment: Environment = settings.ENVIRONMENT
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", "version", f"Zelavis {zelavis.__version__}, Django {django.__version__}, Python {python}")
    yield Finding("ok", "data", str(environment.data_dir))
    yield from _configuration(environment)
    yield from (
        Finding(
            "problem" if message.is_serious() else "notice",
            message.id or "check",
            f"{message.msg} {message.hint or ''}",
        )
        for message in checks.run_checks()
    )
    reachable = yield from _database()
    if reachable:
        yield from _life()


def _configuration(environment: Environment) -> Iterator[Finding]:
    engine = "SQLite" if "sqlite" in str(environment.database["ENGINE"]) else "PostgreSQL"
    broker = environment.broker_url.partition(":")[0]
    mode = "embedded (manage.py up)" if environment.embedded else "production"
    yield Finding("ok", "mode", f"{mode}: {engine}, broker {broker}")
    kept = "from ZELAVIS_SECRET_KEY" if environment.secret_key_given else "generated, kept in the data directory"
    yield Finding("ok", "secret key", kept)
    tenant = f"{environment.runs_tenant_url} (signed)" if environment.runs_tenant_url else "none; runs are inline"
    yield Finding("ok", "runs tenant", tenant)
    if environment.debug:
        yield Finding("notice", "debug", "ZELAVIS_DEBUG is on: error pages show the server's inside.")


def _database() -> Generator[Finding, None, bool]:
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError as error:
        yield Finding("problem", "database", f"cannot be reached: {error}")
        return False
    if missing:
        yield Finding(
            "problem", "database", f"{missing} migrations are not applied: manage.py migrate, or manage.py up"
        )
        return False
    yield Finding("ok", "database", "reachable, all migrations applied")
    return True


def _life() -> Iterator[Finding]:
    missing = heartbeat.missing()
    for name in heartbeat.EXPECTED:
        if name in missing:
            yield Finding("notice", name, "not seen for a minute; start it, or manage.py up")
        else:
            yield Finding("ok", name, "at work")
    for source in wakeups.SOURCES:
        left = source.seconds_until_next()
        if left is None:
            yield Finding("ok", source.name, "nothing waits")
        elif left < -OVERDUE_SECONDS:
            yield Finding("problem", source.name, f"overdue by {-left:.0f} s")
        else:
            yield Finding("ok", source.name, f"next in {max(left, 0):.1f} s")
