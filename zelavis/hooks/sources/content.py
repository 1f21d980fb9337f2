"""``ctx.content``: the bound models as collections that plugins with the capability may read and write.

A plugin's write is a write like anybody's: the other plugins that listen before it are asked, may say no and may change
fields. They are asked when the guest has ended and before the transaction that applies its writes begins. What sets off
what is one chain, which is cut when it is too deep; a plugin is not asked about its own writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from sandbox.call import Call
from sandbox.capabilities.content import InvalidContent, Shape
from zelavis import hooks, registry
from zelavis.errors import ZelavisError
from zelavis.hooks.sources.models import JUDGED, Binding


@dataclass(frozen=True)
class ModelSource:
    """One bound model."""

    binding: Binding

    @cached_property
    def shape(self) -> Shape:
        """Every bound field can be read; short ones can be filtered by; editable ones can be written."""
        fields = self.binding.fields
        return Shape(
            readable=tuple(fields),
            filterable=tuple(
                name
                for name, field in fields.items()
                if isinstance(field, models.CharField | models.BooleanField | models.IntegerField)
            ),
            writable=tuple(name for name, field in fields.items() if field.editable),
        )

    def get(self, id: str) -> Mapping[str, Any] | None:  # noqa: A002  the name plugins use
        """One item, or ``None``."""
        instance = self._find(id)
        return None if instance is None else self.binding.content(instance)

    def list(self, *, where: Mapping[str, Any], after: str | None, limit: int) -> list[Mapping[str, Any]]:
        """Items by id."""
        rows = self._rows().filter(**{self.binding.fields[name].name: value for name, value in where.items()})
        if after is not None:
            try:
                rows = rows.filter(pk__gt=self.binding.model._meta.pk.to_python(after))
            except ValidationError:
                return []
        return [self.binding.content(instance) for instance in rows.order_by("pk")[:limit]]

    def judge(
        self,
        id: str | None,  # noqa: A002
        values: Mapping[str, Any] | None,
        *,
        call: Call,
    ) -> Mapping[str, Any]:
        """Ask the other plugins about a write; the values as they leave them."""
        hook = "content:beforeDelete" if values is None else "content:beforeSave"
        asked = [entry for entry in registry.active_for_hook(hook) if entry.name != call.plugin]
        instance = (self.binding.model() if id is None else self._find(id)) if asked else None
        if instance is None:
            return values or {}
        self._apply(instance, values or {})
        event = self.binding.event(instance, **({} if values is None else {"created": id is None}))
        try:
            result = hooks.fire(hook, event, actor=call.actor, skip=(call.plugin,))
        except ZelavisError as error:
            raise InvalidContent(error.message) from error
        if result.rejection is not None:
            raise InvalidContent(f"{result.rejection.plugin}: {result.rejection.message}")
        return {**(values or {}), **{name: value for name, value in result.changes.items() if name != "id"}}

    def create(self, values: Mapping[str, Any], *, call: Call) -> str:
        """A new item."""
        instance = self.binding.model()
        self._save(instance, values)
        if hasattr(instance, "sites"):
            # A flat page that belongs to no site is shown nowhere.
            instance.sites.add(settings.SITE_ID)
        return str(instance.pk)

    def update(self, id: str, values: Mapping[str, Any], *, call: Call) -> None:  # noqa: A002
        """Changed fields of an item."""
        instance = self._find(id)
        if instance is None:
            raise InvalidContent(f"There is no {self.binding.collection} {id}.")
        self._save(instance, values)

    def delete(self, id: str, *, call: Call) -> None:  # noqa: A002
        """An item, gone."""
        instance = self._find(id)
        if instance is not None:
            setattr(instance, JUDGED, "content:beforeDelete")
            instance.delete()

    def _rows(self) -> models.QuerySet[Any]:
        return self.binding.model._default_manager.all()

    def _find(self, key: str) -> models.Model | None:
        try:
            found: models.Model | None = self._rows().filter(pk=self.binding.model._meta.pk.to_python(key)).first()
        except ValidationError:
            return None
        return found

    def _apply(self, instance: models.Model, values: Mapping[str, Any]) -> None:
        try:
            self.binding.apply(instance, values)
        except (ValidationError, TypeError, ValueError) as error:
            words = error.messages if isinstance(error, ValidationError) else ["a value has the wrong type"]
            raise InvalidContent("; ".join(words)[:500]) from error

    def _save(self, instance: models.Model, values: Mapping[str, Any]) -> None:
        self._apply(instance, values)
        try:
            instance.full_clean()
        except ValidationError as error:
            raise InvalidContent("; ".join(error.messages)[:500]) from error
        setattr(instance, JUDGED, "content:beforeSave")
        instance.save()
