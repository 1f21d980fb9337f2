"""What a token may do. A view names the scope of each method; a view that names none is closed."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from zelavis.errors import Forbidden, Unauthorized
from zelavis.models import ApiToken

#: Open to everybody. A view says so in as many words.
PUBLIC = "public"


class HasScope(BasePermission):
    """Checks ``view.scopes[method]``, for example ``scopes = {"GET": "runs:read", "POST": "runs:write"}``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        method = "GET" if request.method == "HEAD" else str(request.method)
        scope = getattr(view, "scopes", {}).get(method)
        if scope == PUBLIC or method == "OPTIONS":
            return True
        if not isinstance(request.auth, ApiToken):
            raise Unauthorized("missing Authorization header")
        if scope is None and not hasattr(view, method.lower()):
            # Nothing to guard: the answer is 405, with what there is.
            return True
        if scope is None or not request.auth.allows(scope):
            raise Forbidden(f"This request needs the scope {scope}." if scope else None, scope=scope)
        return True
