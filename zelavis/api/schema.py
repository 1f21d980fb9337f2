"""What the OpenAPI description says beyond the views: scopes, who needs no token, and that all may answer a problem."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers

from zelavis.api.permissions import PUBLIC
from zelavis.api.problems import CONTENT_TYPE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error", "message"],
    "properties": {
        "type": {"type": "string", "example": "/problems/not_found"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "requestId": {"type": "string"},
        "error": {"type": "string", "example": "not_found"},
        "message": {"type": "string"},
    },
    "additionalProperties": True,
}


def complete(result: dict[str, Any], generator: Any, request: object, public: bool) -> dict[str, Any]:
    """A drf-spectacular post-processing hook."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    problem = {"$ref": "#/components/schemas/Problem"}
    for path, _, method, view in generator._get_paths_and_endpoints():
        operation = result["paths"].get(path, {}).get(method.lower())
        if operation is None:
            continue
        operation["x-scope"] = getattr(view, "scopes", {}).get(method.upper(), "")
        if operation["x-scope"] == PUBLIC:
            # A token is taken, and may show more; none is asked for.
            operation["security"] = [*operation.get("security", []), {}]
        # Whatever a view answers errors as, what the server refuses before it gets there is a problem.
        content = {kind: {"schema": problem} for kind in (CONTENT_TYPE, getattr(view, "problem_type", CONTENT_TYPE))}
        for status in ("4XX", "5XX"):
            operation["responses"].setdefault(status, {"description": "A problem.", "content": content})
    return result


class StrictBody(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # registered by being defined
    """Says of our bodies and queries what reading them holds to: no other members, and no empty text."""

    target_class = "zelavis.api.camel.CamelSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: str) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        if direction != "request":
            return schema
        schema["additionalProperties"] = False
        for name, field in self.target.fields.items():
            described = schema["properties"].get(name, {})
            if isinstance(field, serializers.CharField) and not field.allow_blank and described.get("type") == "string":
                described.setdefault("minLength", 1)
        return schema


class SchemaView(SpectacularAPIView):
    """``GET /api/schema``: this API's OpenAPI description."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}
