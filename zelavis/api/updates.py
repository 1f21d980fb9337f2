"""``/api/updates``: newer versions on their way by themselves, and what each of them waits for."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from zelavis import querysets
from zelavis.api.activations import filtered
from zelavis.api.camel import CamelSerializer
from zelavis.api.shapes import StagesShape, stages_of
from zelavis.models import PluginEntry

STAGED = "staged"
_STATES = (STAGED, *PluginEntry.Wait.values)


class UpdateShape(CamelSerializer):
    """An update that has begun in stages, or that a policy would make and that waits."""

    plugin = serializers.CharField(source="name")
    state = serializers.SerializerMethodField()
    needs_person = serializers.SerializerMethodField()
    message = serializers.SerializerMethodField()
    from_version = serializers.CharField(source="serving.version")
    to_version = serializers.SerializerMethodField()
    next_at = serializers.SerializerMethodField()
    stages = serializers.SerializerMethodField()

    def to_representation(self, row: PluginEntry) -> dict[str, Any]:
        # Looked up once for the three members that tell of it.
        self._stages = stages_of(row.rollout)
        return super().to_representation(row)

    @extend_schema_field(serializers.ChoiceField(choices=_STATES))
    def get_state(self, row: PluginEntry) -> str:
        """``staged``, or what it waits for."""
        return STAGED if row.rollout is not None else row.update_wait

    def get_needs_person(self, row: PluginEntry) -> bool:
        """Whether it goes on only after somebody looked."""
        return row.rollout is None and row.update_wait in PluginEntry.FOR_A_PERSON

    def get_message(self, row: PluginEntry) -> str:
        """The same in words."""
        if self._stages is not None:
            return f"{self._stages['percent']} % of the calls go to it."
        return row.update_waits

    def get_to_version(self, row: PluginEntry) -> str:
        """The version that is to serve."""
        return row.candidate.version if row.rollout is not None and row.candidate else row.update_version

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_at(self, row: PluginEntry) -> Any:
        """The end of the cool-down, or the next stage."""
        if row.rollout is not None:
            return self._stages["nextStageAt"] if self._stages is not None else None
        return row.update_at

    @extend_schema_field(StagesShape(allow_null=True))
    def get_stages(self, row: PluginEntry) -> dict[str, Any] | None:
        """How a staged one fares."""
        return self._stages


class UpdateFilter(CamelSerializer):
    """Query of the list."""

    state = serializers.ChoiceField(choices=_STATES, required=False)
    plugin = serializers.CharField(required=False, max_length=64)
    needs_person = serializers.BooleanField(required=False)


class Updates(ListAPIView[PluginEntry]):
    """Updates in stages and updates that wait."""

    scopes: ClassVar[dict[str, str]] = {"GET": "plugins:read"}
    serializer_class = UpdateShape
    queryset = PluginEntry.objects.none()

    @extend_schema(
        operation_id="updates_list",
        parameters=[
            OpenApiParameter("state", enum=_STATES),
            OpenApiParameter("plugin", {"type": "string", "minLength": 1, "maxLength": 64}),
            OpenApiParameter("needsPerson", type=bool),
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Updates in stages and automatic ones that wait, one a plugin. Go ahead with `update` or `promote` of the
        plugin; stay with `rollback`."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[PluginEntry]:
        asked = filtered(self.request, UpdateFilter)
        staged, waiting = querysets.updates_staged(), querysets.updates_waiting().filter(rollout=None)
        found = staged | waiting
        if "state" in asked:
            found = staged if asked["state"] == STAGED else waiting.filter(update_wait=asked["state"])
        if "needs_person" in asked:
            needing = querysets.updates_for_a_person().filter(rollout=None)
            found = found & needing if asked["needs_person"] else found.exclude(pk__in=needing)
        if "plugin" in asked:
            found = found.filter(name=asked["plugin"])
        return found.select_related("serving", "candidate")
