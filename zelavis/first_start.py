"""What a new installation needs before it can be used; every step may be repeated without harm."""

from __future__ import annotations

import secrets
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from zelavis import audit, tokens
from zelavis.errors import Unauthorized

_ADMINISTRATOR = "admin"
_SEEDED = "demo_seeded"


def migrate() -> str:
    """Bring the database to this version; says how many steps it took."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    count = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if count:
        call_command("migrate", interactive=False, verbosity=0, stdout=StringIO())
    return f"{count} migrations applied" if count else "up to date"


def prepare_site() -> str:
    """Folders, and the name of the site that the pages belong to."""
    from django.contrib.sites.models import Site

    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    site, _ = Site.objects.get_or_create(pk=settings.SITE_ID, defaults={"domain": "localhost", "name": "Zelavis"})
    if site.domain == "example.com":
        Site.objects.filter(pk=site.pk).update(domain="localhost", name="Zelavis")
        Site.objects.clear_cache()
    return "ready"


def seed_demo() -> str:
    """Submit the example plugins to the marketplace and add a page to save, once for each data directory."""
    from django.contrib.flatpages.models import FlatPage

    from marketplace import demo

    marker = Path(settings.DATA_DIR) / _SEEDED
    if marker.exists():
        return "seeded before"
    submitted = demo.seed(actor="system")
    page, made = FlatPage.objects.get_or_create(
        url="/about/",
        defaults={"title": "About", "content": "Save this page, and the plugins that listen count its words."},
    )
    if made:
        page.sites.add(settings.SITE_ID)
    marker.write_text("The demo data was added. Remove this file to have it added again.\n", encoding="utf-8")
    return f"{len(submitted)} example plugins submitted for review, a page to save at /about/"


def ensure_administrator() -> tuple[str, str | None]:
    """The login to print: a new ``admin`` with a random password if there is nobody, else an existing name."""
    users = get_user_model().objects
    existing = users.filter(is_superuser=True, is_active=True).order_by("pk").first() or users.order_by("pk").first()
    if existing is not None:
        return existing.get_username(), None
    password = secrets.token_urlsafe(12)
    users.create_superuser(_ADMINISTRATOR, password=password)
    audit.record("user.create", target=f"user:{_ADMINISTRATOR}", actor="system", reason="nobody existed")
    return _ADMINISTRATOR, password


def demo_token() -> str:
    """The token in the printed ``curl`` lines: kept beside the database, readable by its owner alone."""
    path = Path(settings.DATA_DIR) / "local_token"
    try:
        kept = path.read_text(encoding="ascii").strip()
        tokens.find(kept)
    except (FileNotFoundError, Unauthorized):
        _, kept = tokens.create("local", ["*"])
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(kept + "\n", encoding="ascii")
        audit.record("token.create", target="token:local", actor="system", reason="printed by manage.py up")
    return kept
