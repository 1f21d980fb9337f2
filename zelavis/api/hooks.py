"""``/api/hooks``: the catalogue, who listens, and firing a hook from another host."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zelavis import audit, hooks, registry
from zelavis.api.activations import filtered
from zelavis.api.camel import CamelSerializer, read
from zelavis.api.idempotency import Idempotent
from zelavis.errors import HookNotFireable, HookRejected
from zelavis.hooks import chain, firing
from zelavis.models import HookEvent


class ListenerShape(CamelSerializer):
    """A plugin that listens, in the order in which it is asked."""

    plugin = serializers.CharField(source="name")
    version = serializers.CharField()
    adapter = serializers.CharField()


class HookShape(CamelSerializer):
    """One line of the catalogue."""

    name = serializers.CharField()
    moment = serializers.CharField()
    summary = serializers.CharField()
    payload = serializers.DictField()
    budget_ms = serializers.IntegerField()
    withheld = serializers.DictField()
    changes = serializers.CharField()
    fireable = serializers.BooleanField()
    listeners = ListenerShape(many=True)


class HookList(CamelSerializer):
    """The catalogue."""

    data = HookShape(many=True)  # type: ignore[assignment]


class OutcomeShape(CamelSerializer):
    """What one listener made of an event."""

    plugin = serializers.CharField()
    version = serializers.CharField()
    status = serializers.CharField()
    result = serializers.JSONField(allow_null=True)
    message = serializers.CharField()
    code = serializers.CharField()
    invocation = serializers.CharField()
    duration_ms = serializers.FloatField()


class FireBody(CamelSerializer):
    """An event from another host."""

    event = serializers.DictField()
    correlation = serializers.RegexField(r"^[A-Za-z0-9._-]{1,80}$", required=False)


class FireAnswer(CamelSerializer):
    """What all listeners made of an event."""

    hook = serializers.CharField()
    correlation = serializers.CharField()
    rejected = serializers.BooleanField()
    changes = serializers.DictField()
    outcomes = OutcomeShape(many=True)


class HookEventShape(CamelSerializer):
    """An after-hook on its way, or delivered."""

    id = serializers.CharField()
    hook = serializers.CharField()
    plugin = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    actor = serializers.CharField()
    correlation = serializers.CharField()
    depth = serializers.IntegerField()
    state = serializers.CharField()
    passes = serializers.IntegerField()
    outcomes = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_outcomes(self, row: HookEvent) -> list[dict[str, Any]]:
        """One for each listener."""
        import json

        found: list[dict[str, Any]] = json.loads(row.outcomes)
        return found


class EventFilter(CamelSerializer):
    """Query of the list of events."""

    hook = serializers.CharField(required=False, max_length=60)
    state = serializers.ChoiceField(choices=HookEvent.State.choices, required=False)
    correlation = serializers.CharField(required=False, max_length=80)


class Hooks(APIView):
    """The catalogue."""

    scopes: ClassVar[dict[str, str]] = {"GET": "hooks:read"}

    @extend_schema(operation_id="hooks_list", responses=HookList)
    def get(self, request: Request) -> Response:
        """Every hook, and who listens in which order."""
        return Response(HookList({"data": [described(name) for name in hooks.HOOKS]}).data)


class Hook(Idempotent):
    """One hook."""

    scopes: ClassVar[dict[str, str]] = {"GET": "hooks:read", "POST": "hooks:fire"}

    @extend_schema(operation_id="hooks_get", responses=HookShape)
    def get(self, request: Request, name: str) -> Response:
        """The hook, and who listens in which order."""
        firing.find(name)
        return Response(HookShape(described(name)).data)

    @extend_schema(operation_id="hooks_fire", request=FireBody, responses=FireAnswer)
    def post(self, request: Request, name: str) -> Response:
        """Fire the hook and wait for every listener. A before-hook that is rejected answers 422."""
        if not firing.find(name).fireable:
            raise HookNotFireable(f"The hook {name} is fired by the platform alone.")
        body = read(FireBody, request.data)
        correlation = body.get("correlation", "")
        result = hooks.fire(
            name,
            body["event"],
            actor=audit.actor_of(request),
            correlation=correlation,
            depth=chain.depth_of(correlation),
        )
        told = FireAnswer(result).data
        if result.rejection is not None:
            raise HookRejected(
                result.rejection.message,
                plugin=result.rejection.plugin,
                field=result.rejection.field or None,
                reason=result.rejection.code,
                outcomes=told["outcomes"],
            )
        return Response(told)


class Events(ListAPIView[HookEvent]):
    """After-hooks on their way and delivered."""

    scopes: ClassVar[dict[str, str]] = {"GET": "hooks:read"}
    serializer_class = HookEventShape
    queryset = HookEvent.objects.none()

    @extend_schema(operation_id="hook_events_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Events, newest first."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[HookEvent]:
        return HookEvent.objects.filter(**filtered(self.request, EventFilter))


def described(name: str) -> dict[str, Any]:
    """A line of the catalogue with its listeners."""
    hook = hooks.HOOKS[name]
    return {
        "name": hook.name,
        "moment": str(hook.moment),
        "summary": hook.summary,
        "payload": hook.payload,
        "budget_ms": hook.budget_ms,
        "withheld": hook.withheld,
        "changes": hook.changes,
        "fireable": hook.fireable,
        "listeners": registry.active_for_hook(name),
    }
