"""The API's description as files: the OpenAPI document and a page for people, both derived from the views."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.generators import SchemaGenerator

_HEAD = """# HTTP API

Every route of this server. The exact shapes stand in [openapi.json](openapi.json), which the server also answers at
`GET /api/schema`. Errors are described in [errors.md](errors.md). This page is written by `manage.py document`.

A request carries `Authorization: Bearer zlv_…` (made by `manage.py create_token NAME --scope SCOPE`); the last column
names the scope it needs. JSON members are camelCase, times are RFC 3339 in UTC unless a page says so. Lists are
newest first: `?limit=` (at most 200), `?cursor=`, and the answer's `next` and `previous`. `X-Request-ID` is taken from
the request when it is harmless, made otherwise, and answered.

| Method | Path | What it does | Scope |
|---|---|---|---|
| GET | `/healthz` | The process answers; touches nothing else. | – |
| GET | `/readyz` | Whether this server can take requests, part by part. | – |
"""


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    found: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return found


def files() -> dict[str, str]:
    """File names under docs/reference with their texts."""
    described = document()
    rows = []
    for path in sorted(described["paths"]):
        for method, operation in described["paths"][path].items():
            text = (operation.get("summary") or operation.get("description") or "").strip().split("\n")[0]
            scope = operation.get("x-scope") or "–"
            rows.append(f"| {method.upper()} | `{path}` | {text} | {'–' if scope == 'public' else f'`{scope}`'} |")
    return {
        "openapi.json": json.dumps(described, indent=1, ensure_ascii=False) + "\n",
        "api.md": _HEAD + "\n".join(rows) + "\n",
    }
