"""``/api/activations``: attempts and their timelines. ``/api/adapters``: what each adapter declares."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zelavis import activation, adapters, audit, registry
from zelavis.api.camel import CamelSerializer, query, read
from zelavis.api.idempotency import Idempotent
from zelavis.api.plugins import ReasonBody, answer
from zelavis.api.shapes import ActivationShape, ActivationWithEvents, AdapterList, PluginAndActivation
from zelavis.errors import InvalidRequest, NotFound
from zelavis.models import Activation

_READ = {"GET": "plugins:read"}


class ActivationFilter(CamelSerializer):
    """Query of a list."""

    state = serializers.ChoiceField(choices=Activation.State.choices, required=False)
    plugin = serializers.CharField(required=False, max_length=64)
    action = serializers.ChoiceField(choices=Activation.Action.choices, required=False)


def filtered(request: Request, serializer: type[CamelSerializer]) -> dict[str, Any]:
    """Query parameters by a serializer; the paging ones belong to the paginator, any other unknown one is refused.

    Raises:
        InvalidRequest: an unknown parameter or a value it cannot have.
    """
    given = {name: value for name, value in request.query_params.items() if name not in ("limit", "cursor")}
    try:
        return query(serializer, given)
    except serializers.ValidationError as error:
        name = next(iter(error.detail)) if isinstance(error.detail, dict) else "query"
        raise InvalidRequest(
            f"The query parameter {str(name)[:60]!r} is unknown or has a value it cannot have."
        ) from error


class Activations(ListAPIView[Activation]):
    """All attempts, newest first."""

    scopes: ClassVar[dict[str, str]] = _READ
    serializer_class = ActivationShape
    queryset = Activation.objects.none()

    @extend_schema(
        operation_id="activations_list",
        parameters=[
            OpenApiParameter("state", enum=Activation.State.values),
            OpenApiParameter("plugin", {"type": "string", "minLength": 1, "maxLength": 64}),
            OpenApiParameter("action", enum=Activation.Action.values),
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Attempts, newest first."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Activation]:
        return Activation.objects.select_related("deployment").filter(**filtered(self.request, ActivationFilter))


class PluginActivations(ListAPIView[Activation]):
    """The attempts of one plugin."""

    scopes: ClassVar[dict[str, str]] = _READ
    serializer_class = ActivationShape
    queryset = Activation.objects.none()

    @extend_schema(operation_id="plugins_activations_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Attempts of one plugin, newest first; of a plugin that was removed too."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Activation]:
        name = self.kwargs["name"]
        found = Activation.objects.select_related("deployment").filter(plugin=name)
        if not found.exists():
            registry.get(name)
        return found


class ActivationDetail(APIView):
    """One attempt."""

    scopes: ClassVar[dict[str, str]] = _READ

    @extend_schema(operation_id="activations_get", responses=ActivationWithEvents)
    def get(self, request: Request, activation_id: str) -> Response:
        """The attempt with its timeline."""
        row = Activation.objects.select_related("deployment").filter(pk=activation_id).first()
        if row is None:
            raise NotFound(f"There is no activation {activation_id[:60]!r}.")
        return Response(ActivationWithEvents(row).data)


class Retry(Idempotent):
    """Try a failed attempt again."""

    scopes: ClassVar[dict[str, str]] = {"POST": "plugins:write"}

    @extend_schema(
        operation_id="activations_retry",
        request=ReasonBody,
        responses={200: PluginAndActivation, 202: PluginAndActivation},
    )
    def post(self, request: Request, activation_id: str) -> Response:
        """The same version once more, as a new attempt."""
        body = read(ReasonBody, request.data)
        row = activation.retry(activation_id, actor=audit.actor_of(request), reason=body.get("reason", ""))
        return answer(request, row.plugin, row)


class Adapters(APIView):
    """What each adapter can do."""

    scopes: ClassVar[dict[str, str]] = _READ

    @extend_schema(operation_id="adapters_list", responses=AdapterList)
    def get(self, request: Request) -> Response:
        """The adapters and the capabilities they declare."""
        return Response(AdapterList({"data": declared()}).data)


def declared() -> list[dict[str, Any]]:
    """Every adapter as it declares itself."""
    found = []
    for adapter in adapters.REGISTRY.values():
        missing = adapter.missing()
        found.append(
            {
                "name": adapter.name,
                "title": adapter.title,
                "needs_worker": adapter.needs_worker,
                "configured": not missing,
                "missing": missing,
                **asdict(adapter.capabilities),
            }
        )
    return found
