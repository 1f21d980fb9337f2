"""The ledger of plugin calls over HTTP."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sandbox.models import Invocation
from sandbox.outcome import OutcomeStatus
from zelavis.api.activations import filtered
from zelavis.api.camel import CamelSerializer
from zelavis.errors import NotFound


class InvocationShape(CamelSerializer):
    """One call of a plugin and what came of it. Details that are for operators alone are in the admin only."""

    id = serializers.CharField()
    plugin = serializers.CharField()
    version = serializers.CharField()
    digest = serializers.CharField()
    hook = serializers.CharField()
    status = serializers.ChoiceField(choices=[one.value for one in OutcomeStatus])
    duration_ms = serializers.FloatField()
    memory_bytes = serializers.IntegerField()
    host_calls = serializers.IntegerField()
    refusals = serializers.IntegerField()
    result = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    logs = serializers.SerializerMethodField()
    correlation = serializers.CharField()
    created_at = serializers.DateTimeField()

    def get_result(self, row: Invocation) -> Any:
        """The JSON value; the text itself when it was too long to be kept whole."""
        return _value(row.result)

    def get_error(self, row: Invocation) -> Any:
        """Name, message, stack and code, or null."""
        return _value(row.error)

    def get_logs(self, row: Invocation) -> Any:
        """The plugin's own lines."""
        return _value(row.logs) or []


class InvocationFilter(CamelSerializer):
    """Query of the list."""

    plugin = serializers.CharField(required=False, max_length=64)
    hook = serializers.CharField(required=False, max_length=120)
    status = serializers.ChoiceField(choices=[one.value for one in OutcomeStatus], required=False)
    correlation = serializers.CharField(required=False, max_length=200)


class Invocations(ListAPIView[Invocation]):
    """Calls of plugins."""

    scopes: ClassVar[dict[str, str]] = {"GET": "plugins:read"}
    serializer_class = InvocationShape
    queryset = Invocation.objects.none()

    @extend_schema(operation_id="invocations_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Calls, newest first: outcome, time, memory, host calls, result."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Invocation]:
        return Invocation.objects.filter(**filtered(self.request, InvocationFilter))


class InvocationDetail(APIView):
    """One call."""

    scopes: ClassVar[dict[str, str]] = {"GET": "plugins:read"}

    @extend_schema(operation_id="invocations_get", responses=InvocationShape)
    def get(self, request: Request, invocation_id: str) -> Response:
        """One call of a plugin and what came of it."""
        row = Invocation.objects.filter(pk=invocation_id).first()
        if row is None:
            raise NotFound
        return Response(InvocationShape(row).data)


def _value(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
