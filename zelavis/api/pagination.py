"""Lists: newest first, by cursor, ``{"data": […], "next": URL|null, "previous": URL|null}``."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from zelavis.errors import InvalidRequest

#: How the description names them.
LIMIT = {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}


def _is_moment(position: str) -> bool:
    """Whether a cursor's position is a time that a row can have; a query with any other fails."""
    try:
        moment = parse_datetime(position)
        return moment is not None and moment.tzinfo is not None and moment.astimezone(UTC) is not None
    except (ValueError, OverflowError):
        return False


class NewestFirst(CursorPagination):
    """``?limit=`` up to 200, ``?cursor=`` opaque. Stable while rows are added."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = ("-created_at", "-id")

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("limit", str(self.page_size))
        if not (given.isascii() and given.isdigit() and len(given) < 5 and 1 <= int(given) <= self.max_page_size):
            raise InvalidRequest(f"The limit is a number from 1 to {self.max_page_size}.")
        return int(given)

    def decode_cursor(self, request: Request) -> Any:
        try:
            cursor = super().decode_cursor(request)
        except NotFound:
            raise InvalidRequest("The cursor is none that this list gave out.") from None
        if cursor is not None and cursor.position is not None and not _is_moment(str(cursor.position)):
            raise InvalidRequest("The cursor is none that this list gave out.")
        return cursor

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
            {"name": "limit", "in": "query", "required": False, "schema": LIMIT},
        ]

    def get_paginated_response(self, data: Any) -> Response:
        following, previous = self.get_next_link(), self.get_previous_link()
        links = [f'<{url}>; rel="{name}"' for name, url in (("next", following), ("prev", previous)) if url]
        page = {"data": data, "next": following, "previous": previous}
        return Response(page, headers={"Link": ", ".join(links)} if links else None)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["data", "next", "previous"],
            "properties": {"data": schema, "next": link, "previous": link},
        }
