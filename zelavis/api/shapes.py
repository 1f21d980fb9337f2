"""Registry entries, activations, adapters and hooks as they look on the wire."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketplace.models import Rollout, RolloutState
from zelavis import carry, registry
from zelavis.api.camel import CamelSerializer
from zelavis.models import Activation, CircuitBreaker, Deployment, PluginEntry


class DeploymentShape(CamelSerializer):
    """One version as deployed."""

    id = serializers.CharField()
    version = serializers.CharField()
    digest = serializers.CharField()
    entry_digest = serializers.CharField()
    kind = serializers.CharField()
    adapter = serializers.CharField()
    worker = serializers.SerializerMethodField()
    state = serializers.CharField()
    consented_by = serializers.CharField()
    consented_at = serializers.DateTimeField()
    deployed_at = serializers.DateTimeField()
    capabilities = serializers.SerializerMethodField()

    def get_worker(self, row: Deployment) -> str | None:
        """``namespace/worker``."""
        return str(row.worker) if row.worker else None

    def get_capabilities(self, row: Deployment) -> dict[str, Any]:
        """What was consented to."""
        found: dict[str, Any] = json.loads(row.grants)
        return found


class StagesShape(CamelSerializer):
    """A staged update: its share of the calls, and how both versions fare."""

    state = serializers.ChoiceField(choices=RolloutState.choices)
    percent = serializers.IntegerField()
    from_version = serializers.CharField(source="baseline.version")
    to_version = serializers.CharField(source="candidate.version")
    from_calls = serializers.IntegerField(source="baseline_calls")
    from_failures = serializers.IntegerField(source="baseline_failures")
    to_calls = serializers.IntegerField(source="candidate_calls")
    to_failures = serializers.IntegerField(source="candidate_failures")
    next_stage_at = serializers.DateTimeField(source="wake_at", allow_null=True)
    outcome = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class EntryShape(CamelSerializer):
    """A registry entry: the seed's five fields first, then the three states and what serves."""

    name = serializers.CharField()
    specifier = serializers.CharField()
    status = serializers.ChoiceField(choices=PluginEntry.Status.choices)
    source = serializers.ChoiceField(choices=PluginEntry.Source.choices)  # type: ignore[assignment]
    order = serializers.IntegerField(allow_null=True)
    adapter = serializers.CharField()
    worker = serializers.SerializerMethodField()
    deployment = serializers.CharField(source="deployment_state")
    activation = serializers.CharField(source="activation_state")
    version = serializers.SerializerMethodField()
    serving = DeploymentShape(allow_null=True)
    previous = DeploymentShape(allow_null=True)
    candidate = DeploymentShape(allow_null=True)
    stages = serializers.SerializerMethodField()
    settings = serializers.SerializerMethodField()
    blocked = serializers.CharField()
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_worker(self, row: PluginEntry) -> str | None:
        """``namespace/worker``."""
        return str(row.worker) if row.worker else None

    def get_version(self, row: PluginEntry) -> str | None:
        """The version that serves."""
        return row.serving.version if row.serving else None

    @extend_schema_field(StagesShape(allow_null=True))
    def get_stages(self, row: PluginEntry) -> dict[str, Any] | None:
        """The staged update that is running."""
        return stages_of(row.rollout)

    def get_settings(self, row: PluginEntry) -> dict[str, Any]:
        """As configured; values of write-only settings are hidden."""
        return masked(row)


class EventShape(CamelSerializer):
    """One line of a timeline."""

    step = serializers.CharField()
    at = serializers.DateTimeField(source="created_at")
    duration_ms = serializers.IntegerField(allow_null=True)
    http_status = serializers.IntegerField(allow_null=True)
    trap = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()
    attempt = serializers.IntegerField()
    attempts = serializers.IntegerField()


class RehearsalShape(CamelSerializer):
    """Shadow replay: recorded calls run again with the new version before it serves."""

    asked = serializers.IntegerField(source="shadow_tapes")
    verdict = serializers.ChoiceField(source="shadow", choices=["", "pass", "fail", "inconclusive"])
    replayed = serializers.IntegerField(source="shadow_total")
    different = serializers.IntegerField(source="shadow_different")


class ActivationShape(CamelSerializer):
    """One attempt. ``status`` is the seed's word, ``failed`` and ``inactive`` added; ``state`` is the exact one."""

    id = serializers.CharField()
    plugin_name = serializers.CharField(source="plugin")
    action = serializers.CharField()
    status = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=Activation.State.choices)
    version = serializers.SerializerMethodField()
    adapter = serializers.CharField()
    actor = serializers.CharField()
    reason = serializers.CharField()
    attempt = serializers.IntegerField()
    retry_of = serializers.CharField(source="retry_of_id", allow_null=True)
    percent = serializers.IntegerField()
    rehearsal = serializers.SerializerMethodField()
    polls = serializers.IntegerField()
    next_poll_at = serializers.SerializerMethodField()
    deadline_at = serializers.DateTimeField()
    http_status = serializers.IntegerField(allow_null=True)
    code = serializers.CharField()
    message = serializers.CharField()
    duration_ms = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_status(self, row: Activation) -> str:
        """``active``, ``pending``, ``failed`` or ``inactive``."""
        return wire_status(row)

    def get_version(self, row: Activation) -> str | None:
        """The version it is about."""
        return row.deployment.version if row.deployment else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_poll_at(self, row: Activation) -> Any:
        """When a pending one is asked again."""
        return row.wake_at if row.state == Activation.State.PENDING else None

    @extend_schema_field(RehearsalShape(allow_null=True))
    def get_rehearsal(self, row: Activation) -> dict[str, Any] | None:
        """What running recorded calls with the new version said."""
        return dict(RehearsalShape(row).data) if row.shadow_tapes else None


class ActivationWithEvents(ActivationShape):
    """An attempt and its timeline."""

    stages = serializers.SerializerMethodField()
    events = EventShape(many=True)

    @extend_schema_field(StagesShape(allow_null=True))
    def get_stages(self, row: Activation) -> dict[str, Any] | None:
        """The staged update, running or ended."""
        return stages_of(row.rollout)


class PluginAndActivation(CamelSerializer):
    """What a verb answers with."""

    plugin = EntryShape()
    activation = ActivationWithEvents()


class PluginAndMaybeActivation(CamelSerializer):
    """What a new entry answers with."""

    plugin = EntryShape()
    activation = ActivationWithEvents(allow_null=True)


class PluginList(CamelSerializer):
    """The registry: small enough to be read whole."""

    data = EntryShape(many=True)  # type: ignore[assignment]
    revision = serializers.IntegerField()


class BreakerShape(CamelSerializer):
    """A circuit breaker."""

    plugin = serializers.CharField()
    open = serializers.BooleanField(source="is_open")
    failures = serializers.IntegerField()
    opened_at = serializers.DateTimeField(allow_null=True)
    retry_at = serializers.DateTimeField(allow_null=True)
    last_status = serializers.CharField()
    last_message = serializers.CharField()
    last_failed_at = serializers.DateTimeField(allow_null=True)


class BreakerList(CamelSerializer):
    """Plugins with failures in a row."""

    data = BreakerShape(many=True)  # type: ignore[assignment]


class AdapterShape(CamelSerializer):
    """An adapter as it declares itself."""

    name = serializers.CharField()
    title = serializers.CharField()
    needs_worker = serializers.BooleanField()
    configured = serializers.BooleanField()
    missing = serializers.CharField()
    strategy = serializers.CharField()
    supports_runtime_install = serializers.BooleanField()
    supports_uploaded_specifiers = serializers.BooleanField()
    supports_package_uploads = serializers.BooleanField()
    supports_isolated_execution = serializers.BooleanField()
    description = serializers.CharField()


class AdapterList(CamelSerializer):
    """All adapters."""

    data = AdapterShape(many=True)  # type: ignore[assignment]


def wire_status(row: Activation) -> str:
    """The seed's two words, and two more: what is neither active nor coming is said so."""
    if row.state in (Activation.State.ACTIVE, Activation.State.INACTIVE, Activation.State.FAILED):
        return str(row.state)
    return "failed" if row.state == Activation.State.SUPERSEDED else "pending"


def stages_of(rollout: int | None) -> dict[str, Any] | None:
    """A staged update by the marketplace's row."""
    if rollout is None:
        return None
    row = Rollout.objects.select_related("baseline", "candidate").filter(pk=rollout).first()
    return None if row is None else dict(StagesShape(row).data)


def masked(row: PluginEntry) -> dict[str, Any]:
    """An entry's settings with the values of secrets hidden."""
    hidden = carry.hidden(row)
    settings: dict[str, Any] = {
        name: registry.MASK if name in hidden else value for name, value in json.loads(row.settings).items()
    }
    return settings


def breaker_of(name: str) -> CircuitBreaker | None:
    """The plugin's breaker, if it has anything to tell."""
    return CircuitBreaker.objects.filter(plugin=name).first()
