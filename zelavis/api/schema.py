"""What the OpenAPI description says beyond the views: every operation may answer with a problem."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.views import SpectacularAPIView

from zelavis.api.permissions import PUBLIC

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


def add_problems(result: dict[str, Any], generator: object, request: object, public: bool) -> dict[str, Any]:
    """A drf-spectacular post-processing hook."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in result.get("paths", {}).values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                for status in ("4XX", "5XX"):
                    operation["responses"].setdefault(status, {"description": "A problem.", "content": content})
    return result


class SchemaView(SpectacularAPIView):
    """``GET /api/schema``: this API's OpenAPI description."""

    scopes: ClassVar[dict[str, str]] = {"GET": PUBLIC}
