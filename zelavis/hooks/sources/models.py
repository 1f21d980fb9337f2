"""Django models as content: out of the box flat pages are content and ``auth.User`` is the user.

``ZELAVIS_CONTENT_MODELS`` names others: ``{"blog.Post": {"title": "title", "body": "text"}}`` maps a model to the
fields that plugins see, by their names on the wire; ``None`` means all plain fields by their own names in camelCase.
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from zelavis import hooks, registry
from zelavis.errors import HookInTransaction, HookRejected
from zelavis.hooks.firing import FireResult

FieldNames = Mapping[str, str] | None
DEFAULT_MODELS: Mapping[str, FieldNames] = {
    "flatpages.FlatPage": {
        "url": "url",
        "title": "title",
        "body": "content",
        "enableComments": "enable_comments",
        "registrationRequired": "registration_required",
        "templateName": "template_name",
    }
}
#: Set on an instance whose before-hooks were asked by the caller; the signal does not ask again.
JUDGED = "_zelavis_judged"


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One model as a collection of content."""

    model: type[models.Model]
    #: ``app.model`` in lower case: the event's ``collection``.
    collection: str
    #: Name on the wire → field of the model.
    fields: Mapping[str, models.Field[Any, Any]]

    def content(self, instance: models.Model) -> dict[str, Any]:
        """The instance's id and fields as JSON values."""
        values = {name: _plain(field.value_from_object(instance)) for name, field in self.fields.items()}
        return {"id": None if instance.pk is None else str(instance.pk), **values}

    def event(self, instance: models.Model, *, created: bool | None = None) -> dict[str, Any]:
        """The payload of the content hooks."""
        event: dict[str, Any] = {
            "collection": self.collection,
            "id": None if instance.pk is None else str(instance.pk),
            "content": self.content(instance),
        }
        return event if created is None else {**event, "created": created}

    def apply(self, instance: models.Model, changes: Mapping[str, Any]) -> None:
        """Set what before-hooks changed."""
        for name, value in changes.items():
            field = self.fields.get(name)
            if field is None:
                # The id: a plugin may not make one thing another.
                continue
            setattr(instance, field.attname, field.to_python(value))


#: Filled by :func:`connect`, by model.
BINDINGS: dict[type[models.Model], Binding] = {}


def connect() -> None:
    """Bind the configured models; called once from ``AppConfig.ready``."""
    configured: Mapping[str, FieldNames] = getattr(settings, "ZELAVIS_CONTENT_MODELS", DEFAULT_MODELS)
    for label, names in configured.items():
        model = apps.get_model(label)
        BINDINGS[model] = Binding(model=model, collection=label.lower(), fields=_fields(model, names))
        uid = f"zelavis {label}"
        pre_save.connect(_before_save, sender=model, dispatch_uid=uid)
        post_save.connect(_after_save, sender=model, dispatch_uid=uid)
        pre_delete.connect(_before_delete, sender=model, dispatch_uid=uid)
        post_delete.connect(_after_delete, sender=model, dispatch_uid=uid)
    post_save.connect(_user_saved, sender=get_user_model(), dispatch_uid="zelavis user")


def binding_of(collection: str) -> Binding | None:
    """The model behind a collection."""
    return next((binding for binding in BINDINGS.values() if binding.collection == collection), None)


def ask(hook: str, instance: models.Model, event: Mapping[str, Any], *, actor: str = "") -> FireResult:
    """Fire a before-hook for an instance and note that it was asked.

    Raises:
        HookInTransaction: plugins listen and a transaction is open.
    """
    if registry.active_for_hook(hook) and transaction.get_connection().in_atomic_block and not _in_test_transaction():
        raise HookInTransaction(hook=hook)
    result = hooks.fire(hook, event, actor=actor)
    setattr(instance, JUDGED, hook)
    return result


def _in_test_transaction() -> bool:
    """Django's TestCase wraps every test in a transaction of its own, which is not the caller's doing."""
    connection = transaction.get_connection()
    return all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _judged(instance: models.Model, hook: str) -> bool:
    """Whether the caller asked already; good for one save."""
    if getattr(instance, JUDGED, "") != hook:
        return False
    delattr(instance, JUDGED)
    return True


def _before_save(sender: type[models.Model], instance: models.Model, raw: bool = False, **kwargs: Any) -> None:
    if raw or _judged(instance, "content:beforeSave"):
        return
    binding = BINDINGS[sender]
    result = ask("content:beforeSave", instance, binding.event(instance, created=bool(instance._state.adding)))
    delattr(instance, JUDGED)
    _raise(result)
    binding.apply(instance, result.changes)


def _after_save(
    sender: type[models.Model], instance: models.Model, created: bool, raw: bool = False, **kwargs: Any
) -> None:
    if not raw:
        hooks.enqueue("content:afterSave", BINDINGS[sender].event(instance, created=created), source="signal")


def _before_delete(sender: type[models.Model], instance: models.Model, **kwargs: Any) -> None:
    if _judged(instance, "content:beforeDelete"):
        return
    result = ask("content:beforeDelete", instance, BINDINGS[sender].event(instance))
    delattr(instance, JUDGED)
    _raise(result)


def _after_delete(sender: type[models.Model], instance: models.Model, **kwargs: Any) -> None:
    hooks.enqueue("content:afterDelete", BINDINGS[sender].event(instance), source="signal")


def _user_saved(sender: type[models.Model], instance: Any, created: bool, raw: bool = False, **kwargs: Any) -> None:
    if created and not raw:
        event = {
            "id": str(instance.pk),
            "username": instance.get_username(),
            "email": str(getattr(instance, "email", "")),
            "isStaff": bool(getattr(instance, "is_staff", False)),
            "isActive": bool(instance.is_active),
        }
        hooks.enqueue("user:created", event, source="signal")


def _raise(result: FireResult) -> None:
    if result.rejection is not None:
        raise HookRejected(
            result.rejection.message, plugin=result.rejection.plugin, field=result.rejection.field or None
        )


def _fields(model: type[models.Model], names: FieldNames) -> dict[str, models.Field[Any, Any]]:
    plain = {field.name: field for field in model._meta.concrete_fields if not field.primary_key}
    if names is None:
        return {re.sub(r"_(\w)", lambda match: match[1].upper(), name): field for name, field in plain.items()}
    missing = set(names.values()) - set(plain)
    if missing:
        raise LookupError(f"ZELAVIS_CONTENT_MODELS: {model._meta.label} has no field {', '.join(sorted(missing))}.")
    return {name: plain[field] for name, field in names.items()}


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal() | uuid.UUID():
            return str(value)
        case _:
            return str(value)
