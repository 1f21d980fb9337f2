"""A platform with something of everything in it, people of every role, and the address of every page."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.acceptance.crowd import fill
from tests.access import matrix
from zelavis import roles

_MODEL_PAGES = ("changelist", "add", "change", "delete", "history")
#: Written by looking: when somebody was last seen, sessions, Django's own log.
_RESTLESS = ("sessions.session", "admin.logentry", "zelavis.heartbeat")
_VERBS = ("update", "rollback", "uninstall", "settings", "promote", "block", "unblock")
_RESTLESS_FIELDS = {"last_login", "last_used_at"}


class World:
    """The filled platform of one test."""

    def __init__(self, folder: Path) -> None:
        roles.synchronize()
        self.rows = fill(folder)
        self._pages: dict[str, str] = {}
        self.people = {"root": self.rows["root"]}
        for role in ("plain", "viewer", "curator", "operator"):
            user = User.objects.create_user(role, password="x", is_staff=True)
            if role != "plain":
                user.groups.add(Group.objects.get(name=role))
            self.people[role] = user

    def browser(self, role: str, **options: Any) -> Client:
        """Signed in as a role; errors of a view are answers, as on a server."""
        made = Client(raise_request_exception=False, **options)
        if role != "anonymous":
            made.force_login(self.people[role])
        return made

    def arguments(self) -> dict[str, list[Any]]:
        """What the addresses of pages beside the usual ones are made of."""
        from sandbox.models import Tape

        rows, tape = self.rows, Tape.objects.first()
        waiting = rows["waiting"]
        return {
            "app_list": ["runs"],
            "auth_user_password_change": [self.people["viewer"].pk],
            "marketplace_release_file": [waiting.pk],
            "marketplace_release_bulk": ["claim"],
            "marketplace_release_verb": [waiting.pk, "note"],
            "marketplace_plugin_verb": [waiting.plugin_id, "delist"],
            "marketplace_publisher_verb": [waiting.publisher_id, "suspend"],
            "runs_run_verb": ["cancel"],
            "runs_run_log": [quote(rows["died"])],
            "runs_run_stream": [quote(rows["died"])],
            "sandbox_invocation_plugin": ["counter"],
            "sandbox_tape_replay": [tape.pk if tape else ""],
            "zelavis_activation_retry": [rows["failed"].pk],
            **{f"zelavis_pluginentry_{verb}": ["counter"] for verb in _VERBS},
            "marketplace_feedsource_import": [rows["source"].pk],
            "marketplace_rating_verb": [first("marketplace.rating").pk, "hide"],
            "zelavis_pluginentry_install": [waiting.plugin.name],
        }

    def parameters(self) -> dict[str, Any]:
        """Values for the parameters of any route."""
        rows = self.rows
        return {
            "activation_id": rows["failed"].pk,
            "invocation_id": rows["invocation"].pk,
            "run_id": rows["theirs"],
            "name": "counter",
            "version": "1.0.0",
            "verb": "note",
            "release_id": rows["waiting"].pk,
            "upload_id": "upl_none",
            "slug": "acme",
            "username": "olga",
            "prefix": "abcdefgh",
            "key_id": "0" * 16,
            "environment": "production",
            "token_id": "x",
            "suffix": "nothing",
            "digest": "0" * 64,
            "path": "stats",
            "signed": "x",
            "code": "not_found",
            "rating_id": 1,
            "namespace": "edge",
        }

    def page(self, name: str) -> str:
        """The address of a page of the admin; found once, as no test's rows stay."""
        if name not in self._pages:
            self._pages[name] = self._address(name)
        return self._pages[name]

    def _address(self, name: str) -> str:
        joined, _, kind = name.rpartition("_")
        model = apps_label(joined) if kind in ("change", "delete", "history") else None
        row = first(model) if model and name not in matrix.PAGES else None
        if model == "auth.user":
            # Somebody on whom nothing hangs, and who is not signed in.
            row = self.people["plain"]
        given = [quote(row.pk)] if row is not None else self.arguments().get(name, [])
        suffix = "?name=README.md" if name == "marketplace_release_file" else ""
        if name == "marketplace_release_bulk":
            suffix = f"?id={self.rows['waiting'].pk}"
        return reverse(f"admin:{name}", args=given) + suffix

    def route(self, pattern: URLPattern) -> str:
        """The address of a route outside the admin."""
        values = self.parameters()
        return reverse(str(pattern.name), kwargs={name: values[name] for name in pattern.pattern.converters})

    def form(self) -> dict[str, str]:
        """Fields that make any form of the admin do something, and some that nobody may set."""
        from runs.admin import pages

        return {
            "post": "yes",
            "reason": "because",
            "run": self.rows["asks"],
            "waitpoint": "token:May this go out?",
            "group": pages.dead()[0].key,
            "state": "approved",
            "status": "approved",
        }

    def state(self) -> str:
        """A fingerprint of every row there is."""
        digest = hashlib.sha256()
        for model in sorted(apps.get_models(), key=lambda model: model._meta.label):
            if model._meta.label_lower in _RESTLESS or not model._meta.managed:
                continue
            names = [field.attname for field in model._meta.concrete_fields if field.name not in _RESTLESS_FIELDS]
            rows = sorted(model._default_manager.values_list(*names), key=str)
            digest.update(json.dumps([model._meta.label, rows], default=str).encode())
        return digest.hexdigest()


def first(label: str) -> Any:
    """Some row of a model; it must be there, or the page of one row is not looked at."""
    found = apps.get_model(label)._default_manager.order_by("pk").first()
    assert found is not None, f"the crowd has no {label}"
    return found


@cache
def patterns() -> tuple[URLPattern, ...]:
    """Every route of the platform outside the admin."""
    return tuple(_walk([part for part in get_resolver().url_patterns if not _is_admin(part)]))


def _is_admin(part: Any) -> bool:
    return isinstance(part, URLResolver) and part.namespace == "admin"


def _walk(parts: Any) -> Iterator[URLPattern]:
    for part in parts:
        if isinstance(part, URLResolver):
            yield from _walk(part.url_patterns)
        else:
            yield part


@cache
def admin_names() -> tuple[str, ...]:
    """The name of every page of the admin."""
    named = [pattern.name for pattern in _walk(admin.site.urls[0]) if pattern.name]
    return tuple(dict.fromkeys(named))


def rights(name: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """Who may GET and who may POST a page of the admin; nothing: the table does not say."""
    if name in matrix.PAGES:
        return matrix.PAGES[name]
    matched = re.fullmatch(rf"([a-z_]+?_[a-z]+)_({'|'.join(_MODEL_PAGES)})", name)
    model = apps_label(matched[1]) if matched else None
    if matched is None or model is None:
        return None
    see, add, change, delete = matrix.MODELS[model]
    see = matrix.NARROWER.get(name, see)
    return {
        "changelist": (see, see),
        "history": (see, matrix.NOBODY),
        "add": (add, add),
        "change": (see, change),
        "delete": (delete, delete),
    }[matched[2]]


def apps_label(joined: str) -> str | None:
    """``runs_run`` → ``runs.run``; app labels may hold underscores themselves."""
    return next((label for label in matrix.MODELS if label.replace(".", "_") == joined), None)
