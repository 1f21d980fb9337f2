"""The JSON of these routes for the OpenAPI description. What is accepted is decided in ``bodies``."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from runs import states


def _shape(title: str, /, *, required: bool = True, **fields: Any) -> Any:
    return inline_serializer(title, fields, required=required)


def _text(**options: Any) -> serializers.CharField:
    return serializers.CharField(**options)


def _number(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(**options)


def _any(**options: Any) -> serializers.JSONField:
    return serializers.JSONField(**options)


TENANT_META = _shape("TenantMeta", tenantId=_text(), projectId=_text(), organizationId=_text())
WAITPOINT = _shape(
    "PendingWaitpoint",
    clientWaitpointId=_text(),
    kind=serializers.ChoiceField(choices=states.KINDS),
    meta=serializers.DictField(),
    timeoutMs=_number(required=False),
)
JOURNAL = _shape(
    "JournalSlice",
    stepResults=serializers.DictField(),
    waitpointsResolved=serializers.DictField(),
    compensationsRun=serializers.DictField(),
    metadataState=serializers.DictField(),
    streamsCompleted=serializers.DictField(),
)
RECORD = _shape(
    "RunRecord",
    id=_text(),
    workflowId=_text(),
    workflowVersion=_text(),
    status=serializers.ChoiceField(choices=states.ALL),
    input=_any(required=False),
    output=_any(required=False),
    # Whoever cancels may give any JSON as the reason, and it comes back as the message.
    error=_shape("RunError", category=_text(), code=_text(), message=_any(), required=False),
    journal=JOURNAL,
    invocationCount=_number(),
    metadataAppliedCount=_number(),
    computeTimeMs=_number(),
    timeoutMs=_number(required=False),
    deadline=_number(required=False),
    priority=_number(required=False),
    parent=_shape("RunParent", runId=_text(), waitpointId=_text(), required=False),
    pendingWaitpoints=serializers.ListField(child=WAITPOINT),
    streams=serializers.DictField(),
    startedAt=_number(help_text="Milliseconds since the epoch, like every time here."),
    completedAt=_number(required=False),
    triggeredBy=_any(),
    tags=_any(),
    environment=_text(),
    tenantMeta=TENANT_META,
    runMeta=_shape("RunMeta", number=_number(), attempt=_number()),
    idempotencyKey=_text(required=False),
    concurrencyKey=_text(required=False),
    provenance=serializers.DictField(required=False),
    paused=serializers.BooleanField(required=False),
)
TRIGGER = _shape(
    "TriggerRun",
    workflowId=_text(),
    workflowVersion=_text(required=False),
    input=_any(required=False),
    tenantMeta=serializers.DictField(required=False),
    runId=_text(required=False),
    environment=serializers.ChoiceField(choices=["production", "preview", "development"], required=False),
    tags=serializers.ListField(child=_text(), required=False),
    triggeredBy=serializers.DictField(required=False),
    idempotencyKey=_text(required=False),
    delay=_any(required=False, help_text="Milliseconds, a text such as 5m, or {wakeAt}."),
    priority=_number(required=False),
    timeoutMs=_number(required=False),
    deadline=_number(required=False),
    concurrency=_shape(
        "Concurrency",
        key=_text(required=False),
        limit=_number(required=False),
        strategy=_text(required=False),
        required=False,
    ),
)
RESUME = _shape(
    "ResumeRun",
    input=_any(required=False),
    workflowId=_text(required=False),
    resumeFromStep=_text(required=False),
    seedResults=serializers.DictField(required=False),
    runId=_text(required=False),
    tags=serializers.ListField(child=_text(), required=False),
    triggeredByUserId=_text(required=False, allow_null=True),
)
RESUMED = _shape("ResumedRun", saved=RECORD, parentRunId=_text(), resumeFromStep=_text())
CANCEL = _shape("CancelRun", reason=_any(required=False, help_text="Any JSON, kept as it is; a falsy one is none."))
EVENT = _shape("InjectEvent", eventType=_text(), payload=_any(required=False))
SIGNAL = _shape("InjectSignal", name=_text(), payload=_any(required=False))
TOKEN = _shape("ResolveToken", payload=_any(required=False))
RECEIPT = _shape(
    "InjectionReceipt",
    receiptId=_text(),
    runId=_text(),
    disposition=serializers.ChoiceField(choices=["matched", "buffered", "duplicate", "expired", "refused"]),
    waitpointId=_text(required=False),
    runSeq=_number(required=False),
    reason=_text(required=False),
)
SUMMARY = _shape(
    "RunSummary",
    id=_text(),
    workflowId=_text(),
    workflowVersion=_text(),
    status=serializers.ChoiceField(choices=states.ALL),
    environment=_text(),
    tenantId=_text(),
    invocationCount=_number(),
    computeTimeMs=_number(),
    startedAt=_number(),
    createdAt=_number(),
    completedAt=_number(required=False),
    wakeAt=_number(required=False),
    paused=serializers.BooleanField(required=False),
)
RUN_PAGE = _shape("RunPage", runs=serializers.ListField(child=SUMMARY), next=_text(allow_null=True))
JOURNAL_PAGE = _shape(
    "JournalPage",
    entries=serializers.ListField(
        child=_shape(
            "JournalEntry", seq=_number(), kind=_text(), key=_text(), at=_number(), fence=_number(), data=_any()
        )
    ),
    next=_number(allow_null=True),
)
TIMELINE = _shape(
    "RunTimeline",
    events=serializers.ListField(child=_shape("TimelineEvent", at=_number(), kind=_text(), text=_text())),
)
WHY = _shape(
    "RunWhy",
    runId=_text(),
    status=_text(),
    at=_number(),
    reason=serializers.ChoiceField(choices=["ended", "paused", "waiting", "driven", "concurrency", "retry", "ready"]),
    text=_text(),
)
RECEIPTS = _shape("Receipts", receipts=serializers.ListField(child=RECEIPT))
BULK = _shape(
    "BulkRuns",
    action=serializers.ChoiceField(choices=["cancel", "resume", "pause", "unpause"]),
    runIds=serializers.ListField(child=_text(), required=False),
    reason=_text(required=False),
)
BULK_DONE = _shape(
    "BulkDone",
    done=serializers.ListField(child=_text()),
    refused=serializers.ListField(child=_shape("BulkRefused", runId=_text(), error=_text())),
)
LINKS = _shape(
    "TokenLinks",
    links=serializers.ListField(child=_shape("TokenLink", tokenId=_text(), url=_text(), expiresAt=_number())),
)
