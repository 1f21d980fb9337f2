"""The JSON of manifests, events and schedules for the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from runs.api.bodies import ENVIRONMENTS


def _shape(title: str, /, *, many: bool = False, **fields: Any) -> Any:
    return inline_serializer(title, fields, many=many)


def _text(**options: Any) -> serializers.CharField:
    return serializers.CharField(**options)


def _number(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(**options)


def _environment() -> serializers.ChoiceField:
    return serializers.ChoiceField(choices=ENVIRONMENTS)


REGISTER = _shape("RegisterManifest", environment=_environment(), manifest=serializers.DictField())
REGISTERED = _shape(
    "RegisteredManifest",
    ok=serializers.BooleanField(),
    versionId=_text(),
    warnings=serializers.ListField(child=_text(), required=False),
)
CURRENT = _shape("CurrentManifest", environment=_environment(), versionId=_text(), manifest=serializers.DictField())
EVENT = _shape(
    "IngestEvent",
    environment=_environment(),
    envelope=_shape(
        "EventEnvelope",
        name=_text(),
        data=serializers.JSONField(required=False),
        metadata=serializers.DictField(required=False),
        emittedAt=_text(),
    ),
    idempotencyKey=_text(required=False),
    resolveWaiting=serializers.BooleanField(required=False),
)


_MATCH = type(
    _shape(
        "EventMatch",
        filterId=_text(),
        status=serializers.ChoiceField(choices=["queued", "skipped", "error"]),
        targetWorkflowId=_text(required=False),
        runId=_text(required=False),
        idempotencyKey=_text(required=False),
        reason=_text(required=False),
        details=_text(required=False),
        code=_text(required=False),
    )
)
INGESTED = _shape(
    "IngestedEvent",
    ok=serializers.BooleanField(help_text="False when no manifest is registered; then `reason` says so."),
    eventId=_text(required=False),
    matches=_MATCH(many=True, required=False),
    resolvedRuns=_number(required=False),
    resolving=serializers.BooleanField(required=False),
    reason=_text(required=False),
    message=_text(required=False),
)
NOT_INGESTED = _shape(
    "NotIngestedEvent",
    ok=serializers.BooleanField(),
    reason=_text(),
    message=_text(),
    eventId=_text(),
    matches=_MATCH(many=True),
)
_SCHEDULE = _shape(
    "ScheduleState",
    many=True,
    workflowId=_text(),
    scheduleId=_text(),
    schedule=serializers.DictField(),
    nextRunAt=_number(allow_null=True),
    enabled=serializers.BooleanField(),
    disabledReason=_text(required=False),
    paused=serializers.BooleanField(required=False),
    lastFireAt=_number(required=False),
    lastRunId=_text(required=False),
    lastError=_text(required=False),
    lastSkippedAt=_number(required=False),
    lastSuccessfulRunAt=_number(required=False),
    stateUpdatedAt=_number(required=False),
)
SCHEDULES = _shape("Schedules", environment=_environment(), versionId=_text(), data=_SCHEDULE)
