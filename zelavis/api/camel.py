"""camelCase on the wire, snake_case in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.fields import Field

#: JSON's kinds with the fields that take them. REST framework takes 0 for a text and for "no"; a client that sends it
#: has made a mistake, and is told.
_KINDS: dict[type, tuple[type[Field[Any, Any, Any, Any]], ...]] = {
    str: (serializers.CharField, serializers.ChoiceField),
    bool: (serializers.BooleanField,),
    int: (serializers.IntegerField,),
}
_NOT_A = {str: "Expected a text.", bool: "Expected true or false.", int: "Expected a whole number."}


def camel(name: str) -> str:
    """``created_at`` → ``createdAt``."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


class CamelSerializer(serializers.Serializer[Any]):
    """A serializer whose fields are called by their camelCase names outside, and which refuses members it lacks."""

    def get_fields(self) -> dict[str, Field[Any, Any, Any, Any]]:
        fields = {}
        for name, field in super().get_fields().items():
            outside = camel(name)
            if isinstance(field, serializers.SerializerMethodField):
                field.method_name = field.method_name or f"get_{name}"
            elif outside != name and field.source is None:
                field.source = name
            fields[outside] = field
        return fields

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError(dict.fromkeys(unknown, "There is no such member."))
            if self.context.get("json"):
                wrong = {name: _NOT_A[kind] for name, kind in self._kinds() if not _is(kind, data.get(name))}
                if wrong:
                    raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)

    def _kinds(self) -> Iterator[tuple[str, type]]:
        for name, field in self.fields.items():
            for kind, types in _KINDS.items():
                if isinstance(field, types):
                    yield name, kind


def _is(kind: type, value: Any) -> bool:
    """Whether a JSON value is of a kind; what is absent is judged by the field."""
    if kind is int and isinstance(value, float):
        return value.is_integer()
    return value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool)))


def query(serializer: type[CamelSerializer], data: Mapping[str, Any]) -> dict[str, Any]:
    """Query parameters as Python values.

    Raises:
        ValidationError: unknown ones, or values that they cannot have.
    """
    return _read(serializer(data=data))


def read(serializer: type[CamelSerializer], data: Any) -> dict[str, Any]:
    """A request body as Python values. JSON knows texts, numbers and truth apart, and so does this.

    Raises:
        ValidationError: not an object, unknown members, wrong types.
    """
    return _read(serializer(data=data, context={"json": True}))


def _read(found: CamelSerializer) -> dict[str, Any]:
    found.is_valid(raise_exception=True)
    values: dict[str, Any] = dict(found.validated_data)
    return values
