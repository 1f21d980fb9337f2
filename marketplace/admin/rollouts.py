"""Update policies and staged updates in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from marketplace import actors, rollouts
from marketplace.models import Rollout, UpdatePolicy
from zelavis import audit
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.templatetags.zelavis_ui import ago, badge


@admin.register(UpdatePolicy)
class UpdatePolicyAdmin(admin.ModelAdmin):
    """When updates install by themselves."""

    list_display = ("__str__", "automatic", "cooldown_hours", "first_percent", "shadow_tapes")
    raw_id_fields = ("plugin",)

    def save_model(self, request: HttpRequest, obj: UpdatePolicy, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.record(
            "policy.change",
            target=f"policy:{obj.plugin or '*'}",
            actor=audit.actor_of(request),
            changes={field: [form.initial.get(field), str(form.cleaned_data[field])] for field in form.changed_data},
        )

    def delete_model(self, request: HttpRequest, obj: UpdatePolicy) -> None:
        audit.record("policy.delete", target=f"policy:{obj.plugin or '*'}", actor=audit.actor_of(request))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[UpdatePolicy]) -> None:
        with transaction.atomic():
            for policy in queryset:
                self.delete_model(request, policy)


@admin.register(Rollout)
class RolloutAdmin(ReadOnlyAdmin):
    """Staged updates: how much goes where, and how it fares."""

    list_display = (
        "plugin",
        "from_version",
        "to_version",
        "shown_state",
        "percent",
        "baseline",
        "candidate",
        "started",
    )
    list_filter = ("state",)
    list_select_related = ("plugin", "baseline", "candidate")
    search_fields = ("plugin__name",)
    actions = ("cancel",)

    @admin.action(description="Cancel selected rollouts: every call goes to the old release", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: Any) -> None:
        for rollout in queryset.filter(state="running"):
            rollouts.cancel(rollout, actor=actors.of(request).name, reason="Cancelled in the admin.")

    @admin.display(description="from")
    def from_version(self, rollout: Rollout) -> str:
        return rollout.baseline.version

    @admin.display(description="to")
    def to_version(self, rollout: Rollout) -> str:
        return rollout.candidate.version

    @admin.display(description="state", ordering="state")
    def shown_state(self, rollout: Rollout) -> SafeString:
        return badge(rollout.state)

    @admin.display(description="old: failed / calls")
    def baseline(self, rollout: Rollout) -> str:
        return f"{rollout.baseline_failures} / {rollout.baseline_calls}"

    @admin.display(description="new: failed / calls")
    def candidate(self, rollout: Rollout) -> str:
        return f"{rollout.candidate_failures} / {rollout.candidate_calls}"

    @admin.display(description="started", ordering="started_at")
    def started(self, rollout: Rollout) -> SafeString:
        return ago(rollout.started_at)
