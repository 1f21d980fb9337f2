"""camelCase on the wire, snake_case in Python."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import serializers
from rest_framework.fields import Field


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
        return super().to_internal_value(data)


def read(serializer: type[CamelSerializer], data: Any) -> dict[str, Any]:
    """A request body as Python values.

    Raises:
        ValidationError: not an object, unknown members, wrong types.
    """
    found = serializer(data={} if data is None else data)
    found.is_valid(raise_exception=True)
    values: dict[str, Any] = dict(found.validated_data)
    return values
