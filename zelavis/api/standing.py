"""Verbs that change how a plugin stands without another version: end the stages of an update, stop it, let it go."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from zelavis import activation, audit, registry
from zelavis.api import conditional
from zelavis.api.camel import CamelSerializer, read
from zelavis.api.idempotency import Idempotent
from zelavis.api.plugins import ReasonBody, answer
from zelavis.api.shapes import PluginAndActivation, PluginAndMaybeActivation


class BlockBody(CamelSerializer):
    """Why it is stopped."""

    reason = serializers.CharField(max_length=500)


class Promote(Idempotent):
    """End the stages of an update."""

    scopes: ClassVar[dict[str, str]] = {"POST": "plugins:write"}

    @extend_schema(operation_id="plugins_promote", request=ReasonBody, responses=PluginAndActivation)
    def post(self, request: Request, name: str) -> Response:
        """Send every call to the version that a staged update brings, now. To send none to it, roll back."""
        body = read(ReasonBody, request.data)
        attempt = activation.promote(
            name,
            actor=audit.actor_of(request),
            reason=body.get("reason", ""),
            expected=conditional.expected(request, "plugin"),
        )
        return answer(request, name, attempt)


class Block(Idempotent):
    """Stop a plugin where it stands."""

    scopes: ClassVar[dict[str, str]] = {"POST": "plugins:write"}

    @extend_schema(operation_id="plugins_block", request=BlockBody, responses=PluginAndMaybeActivation)
    def post(self, request: Request, name: str) -> Response:
        """The kill switch: nobody calls the plugin any more and its running calls are ended; its place, versions,
        settings and data stay."""
        body = read(BlockBody, request.data)
        registry.block(
            name,
            actor=audit.actor_of(request),
            reason=body["reason"],
            expected=conditional.expected(request, "plugin"),
        )
        return answer(request, name, None)


class Unblock(Idempotent):
    """Let a stopped plugin go on."""

    scopes: ClassVar[dict[str, str]] = {"POST": "plugins:write"}

    @extend_schema(operation_id="plugins_unblock", request=ReasonBody, responses=PluginAndMaybeActivation)
    def post(self, request: Request, name: str) -> Response:
        """It serves again from the next call on, as it did before."""
        body = read(ReasonBody, request.data)
        registry.unblock(
            name,
            actor=audit.actor_of(request),
            reason=body.get("reason", ""),
            expected=conditional.expected(request, "plugin"),
        )
        return answer(request, name, None)
