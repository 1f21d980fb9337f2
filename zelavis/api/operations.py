"""How one operation is described. Apart from the views: they ask for this class while they are made."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers


class OperationSchema(AutoSchema):
    """Says of a request's texts that they are not empty, where they must not be."""

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        from zelavis.api.camel import CamelSerializer

        found = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        strict = isinstance(field.parent, CamelSerializer) and direction == "request"
        if strict and isinstance(field, serializers.CharField) and not field.allow_blank and "$ref" not in found:
            return {"minLength": 1, **found}
        return found
