"""Uninstalling with data: every kind of thing a plugin can leave behind is gone, and nothing of its neighbour."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import Model
from django.utils import timezone

from sandbox.models import Invocation, PluginBlob, PluginMail
from tests.zelavis.plugs import ScriptedAdapter, serve
from zelavis import activation
from zelavis.activation import data
from zelavis.hooks import enqueue
from zelavis.models import Activation, CircuitBreaker, HookEvent, PluginEntry, Schedule

pytestmark = pytest.mark.django_db


def kept() -> list[type[Model]]:
    """Models of the sandbox that hold something for a plugin."""
    return [
        model
        for model in apps.get_app_config("sandbox").get_models()
        if any(field.name == "plugin" for field in model._meta.concrete_fields)
        and model._meta.model_name not in data._KEPT
    ]


def fill(plugin: str) -> str:
    """One row of each kind for a plugin; the name of its file."""
    file = default_storage.save(f"plugins/{plugin}/x", ContentFile(b"x"))
    for model in kept():
        values: dict[str, Any] = {}
        for field in model._meta.concrete_fields:
            if field.primary_key or field.has_default() or field.null or getattr(field, "auto_now", False):
                continue
            kind = field.get_internal_type()
            if field.name == "plugin":
                values["plugin"] = plugin
            elif "Integer" in kind:
                values[field.name] = 1
            elif kind == "FloatField":
                values[field.name] = 1.0
            elif kind == "DateTimeField":
                values[field.name] = timezone.now()
            elif kind == "BinaryField":
                values[field.name] = b"x"
            else:
                values[field.name] = "x"
        if model is PluginBlob:
            values["file"] = file
        model._default_manager.create(**values)
    return file


@pytest.mark.parametrize("purge", [True, False])
def test_an_uninstall_takes_all_or_keeps_all(scripted: ScriptedAdapter, purge: bool) -> None:
    """With ``purge`` rows, files, schedules, waiting events and the breaker go; without it what it stored stays."""
    now = timezone.now()
    for name in ("alpha", "neighbour"):
        entry = serve(name, schedules=[{"name": "often", "cron": "*/5 * * * *"}])
        Schedule.objects.create(entry=entry, name="often", cron="*/5 * * * *", next_at=now)
        CircuitBreaker.objects.create(plugin=name)
        enqueue("cron", {"schedule": "often", "scheduledAt": "t"}, source="schedule", plugin=name)
    files = {name: fill(name) for name in ("alpha", "neighbour")}
    Invocation.objects.create(
        id="inv_1", created_at=now, plugin="alpha", version="1", digest="", hook="cron", status="ok", duration_ms=1
    )
    assert activation.uninstall("alpha", actor="user:a", purge=purge).state == "inactive"
    left = {model.__name__ for model in kept() if model._default_manager.filter(plugin="alpha").exists()}
    if purge:
        assert left == set()
        assert not default_storage.exists(files["alpha"])
        assert not HookEvent.objects.filter(plugin="alpha", finished_at=None).exists()
    else:
        assert left == {model.__name__ for model in kept()}
        assert default_storage.exists(files["alpha"])
    assert not Schedule.objects.filter(entry__name="alpha").exists()
    assert {model.__name__ for model in kept() if model._default_manager.filter(plugin="neighbour").exists()} == {
        model.__name__ for model in kept()
    }
    assert default_storage.exists(files["neighbour"])
    assert Schedule.objects.filter(entry__name="neighbour").exists()
    # History is the installation's.
    assert Invocation.objects.filter(plugin="alpha").exists()
    assert Activation.objects.filter(plugin="alpha").exists()
    for file in files.values():
        default_storage.delete(file)


def test_removing_an_entry_can_take_what_was_kept(scripted: ScriptedAdapter) -> None:
    """Data that an uninstall kept goes with ``DELETE …?purge=true``."""
    from zelavis import registry

    serve("alpha")
    fill("alpha")
    activation.uninstall("alpha", actor="user:a")
    registry.remove("alpha", actor="user:a", purge=True)
    assert not any(model._default_manager.filter(plugin="alpha").exists() for model in kept())
    assert not PluginEntry.objects.exists()
    assert not PluginMail.objects.exists()
