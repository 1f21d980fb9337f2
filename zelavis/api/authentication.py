"""API tokens: ``Authorization: Bearer zlv_…``."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from zelavis import tokens
from zelavis.errors import Unauthorized
from zelavis.models import ApiToken


class TokenAuthentication(BaseAuthentication):
    """Sets ``request.auth`` to the :class:`~zelavis.models.ApiToken`; ``request.user`` to its owner, if any."""

    def authenticate(self, request: Request) -> tuple[object, ApiToken] | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, secret = header.partition(" ")
        if scheme != "Bearer" or not secret:
            raise Unauthorized("Authorization header must use the Bearer scheme")
        token = tokens.find(secret)
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="zelavis"'


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI description names it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "zlv_…"}
