"""``/api/runs/:id/events | signals | tokens/:tokenId``: what is sent to a run that waits."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs import inbox, policy, states
from runs.api import bodies, shapes
from runs.api.base import RunView, drive_and_load, idempotency_key, optional_object, tenant_of
from runs.jsontext import ABSENT
from zelavis.audit import actor_of
from zelavis.errors import InvalidBody, InvalidRequest

_PARAMETERS = [
    OpenApiParameter(
        "deliver",
        enum=["now", "buffer"],
        description="`buffer`: keep it until something waits for it, and answer a receipt.",
    ),
    OpenApiParameter("Idempotency-Key", location="header"),
]


# What was not waited for is told by a receipt alone.
_ANSWERS = {
    200: PolymorphicProxySerializer(
        component_name="RunOrReceipt", serializers=[shapes.RECORD, shapes.RECEIPT], resource_type_field_name=None
    ),
    202: shapes.RECEIPT,
}


class Injection(RunView):
    """Base of the three."""

    def inject(self, request: Request, run_id: str, kind: str, key: str, body: dict[str, Any]) -> Response:
        """Send it; answer with the record, or with the receipt when buffering was asked for."""
        deliver = request.query_params.get("deliver", "buffer" if policy.current().buffer_injections else "now")
        if deliver not in ("now", "buffer"):
            raise InvalidRequest("deliver must be now or buffer")
        payload = body.get("payload", ABSENT)
        bodies.check_size(payload, "payload")
        if len(key) > 400:
            raise InvalidBody("a name has at most 400 characters")
        buffer = deliver == "buffer"
        receipt = inbox.inject(
            run_id,
            kind,
            key,
            payload=payload,
            buffer=buffer,
            dedupe=idempotency_key(request),
            tenant=tenant_of(request),
            actor=actor_of(request),
            claim=not buffer,
        )
        if buffer:
            return Response(receipt.body(), status=202 if receipt.disposition == states.BUFFERED else 200)
        return drive_and_load(run_id, receipt.held)


class RunEvents(Injection):
    """Events."""

    suffix = "/events"

    @extend_schema(exclude=True)
    def get(self, request: Request, run_id: str) -> Response:
        """The seed takes this for an injection without a body."""
        raise InvalidBody("`eventType` (string) is required")

    @extend_schema(
        operation_id="injectEvent",
        summary="Resolve an EVENT waitpoint of a run",
        parameters=_PARAMETERS,
        request=shapes.EVENT,
        responses=_ANSWERS,
    )
    def post(self, request: Request, run_id: str) -> Response:
        body = optional_object(request)
        return self.inject(request, run_id, states.EVENT, _name(body, "eventType"), body)


class RunSignals(Injection):
    """Signals."""

    suffix = "/signals"

    @extend_schema(exclude=True)
    def get(self, request: Request, run_id: str) -> Response:
        """The seed takes this for an injection without a body."""
        raise InvalidBody("`name` (string) is required")

    @extend_schema(
        operation_id="injectSignal",
        summary="Resolve a SIGNAL waitpoint of a run",
        parameters=_PARAMETERS,
        request=shapes.SIGNAL,
        responses=_ANSWERS,
    )
    def post(self, request: Request, run_id: str) -> Response:
        body = optional_object(request)
        return self.inject(request, run_id, states.SIGNAL, _name(body, "name"), body)


class RunTokens(Injection):
    """Answers to tokens."""

    suffix = "/tokens"

    @extend_schema(
        operation_id="resolveToken",
        summary="Resolve a MANUAL waitpoint (a token) of a run",
        parameters=_PARAMETERS,
        request=shapes.TOKEN,
        responses=_ANSWERS,
    )
    def post(self, request: Request, run_id: str, token_id: str) -> Response:
        return self.inject(request, run_id, states.MANUAL, token_id, optional_object(request))


def _name(body: dict[str, Any], member: str) -> str:
    value = body.get(member)
    if not isinstance(value, str) or not value:
        raise InvalidBody(f"`{member}` (string) is required")
    return value
