"""The registry in the admin: what is installed, what serves, and the verbs as buttons."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from marketplace import capabilities, rollouts, settings_schema
from marketplace.models import Plugin, UpdatePolicy
from sandbox.errors import SandboxError
from zelavis import activation, active, audit, carry, registry
from zelavis.activation import consent as consents
from zelavis.activation import targets
from zelavis.adapters import get as adapter_of
from zelavis.admin import settings_form
from zelavis.admin.readonly import ReadOnlyAdmin
from zelavis.api.shapes import breaker_of, masked, stages_of
from zelavis.errors import ConsentRequired, UnknownPlugin, ZelavisError
from zelavis.models import Activation, PluginEntry
from zelavis.templatetags.zelavis_ui import ago, badge


@admin.register(PluginEntry)
class PluginEntryAdmin(ReadOnlyAdmin):
    """Registry entries."""

    list_display = ("name", "version", "wanted", "deployed", "activated", "adapter", "order", "changed")
    list_filter = ("status", "activation_state", "adapter", "source")
    search_fields = ("name", "specifier")
    search_help_text = "Name or specifier"
    list_select_related = ("serving",)
    show_facets = admin.ShowFacets.NEVER
    change_form_template = "admin/zelavis/pluginentry/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("install/<str:name>/", wrap(self.install_view), name="zelavis_pluginentry_install"),
            path("update/<str:name>/", wrap(self.update_view), name="zelavis_pluginentry_update"),
            path("rollback/<str:name>/", wrap(self.rollback_view), name="zelavis_pluginentry_rollback"),
            path("uninstall/<str:name>/", wrap(self.uninstall_view), name="zelavis_pluginentry_uninstall"),
            path("promote/<str:name>/", wrap(self.promote_view), name="zelavis_pluginentry_promote"),
            path("block/<str:name>/", wrap(self.block_view), name="zelavis_pluginentry_block"),
            path("unblock/<str:name>/", wrap(self.unblock_view), name="zelavis_pluginentry_unblock"),
            path("settings/<str:name>/", wrap(self.settings_view), name="zelavis_pluginentry_settings"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        entry = registry.entries().filter(pk=object_id).first() if object_id.isdigit() else None
        context = {} if entry is None else self._page(request, entry)
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def _page(self, request: HttpRequest, entry: PluginEntry) -> dict[str, Any]:
        surface = None
        try:
            surface = active.surface(entry.serving.manifest) if entry.serving else None
        except (ValueError, TypeError):
            messages.error(request, "What is stored of this plugin cannot be understood; nothing of it runs.")
        attempts = list(entry.activations.select_related("deployment").order_by("-created_at", "-id")[:10])
        return {
            "title": entry.name,
            "subtitle": None,
            "entry": entry,
            "surface": surface,
            "grants": capabilities.told(json.loads(entry.serving.grants)) if entry.serving else [],
            "settings_rows": settings_form.rows(entry),
            "settings_shown": masked(entry),
            "attempts": attempts,
            "failed": attempts[0] if attempts and attempts[0].state == Activation.State.FAILED else None,
            "at_work": next((row for row in attempts if row.finished_at is None), None),
            "breaker": breaker_of(entry.name),
            "stages": stages_of(entry.rollout),
            "for_you": entry.update_wait in PluginEntry.FOR_A_PERSON,
            "may": self.may(request),
        }

    def install_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """The consent page; its form installs."""
        return self._consent(request, name, update=False)

    def update_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """The consent page with what is new; its form updates."""
        return self._consent(request, name, update=True)

    def _consent(self, request: HttpRequest, name: str, *, update: bool) -> HttpResponse:
        self._require(request)
        version = (request.POST.get("version") or request.GET.get("version") or "") or None
        entry = registry.entries().filter(name=name).first()
        try:
            adapter = adapter_of(entry.adapter if entry else "sandbox")
            target = targets.find(name, version, entry=entry, adapter=adapter)
        except (ZelavisError, SandboxError) as error:
            messages.error(request, error.message)
            return self._back(entry)
        serving = entry.serving if entry and update else None
        if serving is not None and (target.version, target.digest) == (serving.version, serving.digest):
            messages.info(
                request,
                f"The version {serving} serves already; it is the newest that can be installed, or the one named.",
            )
            return self._back(entry)
        if request.method == "POST":
            verb = activation.update if update else activation.install
            return self._do(
                request,
                entry,
                lambda: verb(
                    name,
                    actor=audit.actor_of(request),
                    version=target.version or None,
                    consent=request.POST.get("consent") or None,
                    reason=request.POST.get("reason", "").strip(),
                    **_asked(request, target, update=update),
                ),
                again=request.get_full_path(),
            )
        added = consents.escalations(target, serving)
        plugin = Plugin.objects.filter(name=name).first()
        rule = rollouts.policy(plugin) if plugin is not None else UpdatePolicy()
        context = {
            **self.admin_site.each_context(request),
            "title": f"{'Update' if update else 'Install'} {target.name} {target.version}",
            "opts": self.opts,
            "target": target,
            "serving": serving,
            "adapter": adapter,
            "capabilities": [
                {**row, "new": any(line.startswith(f"{row['name']}:") for line in added)}
                for row in capabilities.told(target.capabilities)
            ],
            "added": added,
            "consent": consents.digest(target),
            "update": update,
            "needed": _needed(target, entry),
            "percent": rule.first_percent,
            "shadow_tapes": rule.shadow_tapes,
            "surface": active.surface(json.dumps(dict(target.manifest))),
        }
        return TemplateResponse(request, "admin/zelavis/pluginentry/consent.html", context)

    def rollback_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Confirm, then go back to the version before."""
        entry = self._entry(request, name)
        if request.method == "POST":
            return self._do(
                request,
                entry,
                lambda: activation.rollback(
                    name, actor=audit.actor_of(request), reason=request.POST.get("reason", "").strip()
                ),
            )
        text = f"{entry.serving} serves now; {entry.previous} will, once it answers. Its data stays as it is."
        if entry.candidate is not None:
            text = f"The staged update to {entry.candidate} ends; every call goes to {entry.serving} again."
        return self._confirm(request, entry, title=f"Roll back {name}", text=text, button="Roll back")

    def uninstall_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Confirm, then take the plugin out of service."""
        entry = self._entry(request, name)
        if request.method == "POST":
            return self._do(
                request,
                entry,
                lambda: activation.uninstall(
                    name,
                    actor=audit.actor_of(request),
                    purge=request.POST.get("purge") == "on",
                    reason=request.POST.get("reason", "").strip(),
                ),
            )
        return self._confirm(
            request,
            entry,
            title=f"Uninstall {name}",
            text="It stops serving at once; hooks, routes and schedules end. Its data stays unless you say otherwise.",
            button="Uninstall",
            purge=True,
        )

    def promote_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Confirm, then send every call to the version on its way."""
        entry = self._entry(request, name)
        if request.method == "POST":
            reason = request.POST.get("reason", "").strip()
            return self._do(
                request, entry, lambda: activation.promote(name, actor=audit.actor_of(request), reason=reason)
            )
        text = f"Every call goes to {entry.candidate} from now on; the stages that are left are skipped."
        return self._confirm(request, entry, title=f"Promote {name}", text=text, button="Promote")

    def block_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Confirm with a reason, then stop the plugin where it stands."""
        text = (
            "Nobody calls it any more, and its calls that run are ended within a second. Its versions, settings and "
            "data stay; unblock it and it goes on."
        )
        return self._stand(request, name, registry.block, title=f"Block {name}", text=text, button="Block")

    def unblock_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Confirm, then let it go on."""
        text = "It serves again from the next call on, as it did before."
        return self._stand(request, name, registry.unblock, title=f"Unblock {name}", text=text, button="Unblock")

    def _stand(self, request: HttpRequest, name: str, verb: Any, *, title: str, text: str, button: str) -> HttpResponse:
        entry = self._entry(request, name)
        if request.method != "POST":
            return self._confirm(request, entry, title=title, text=text, button=button)
        try:
            verb(name, actor=audit.actor_of(request), reason=request.POST.get("reason", "").strip())
        except ZelavisError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, f"{title}: done.")
        return self._back(entry)

    def settings_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Settings as a form drawn from the schema; as JSON where a worker brings the plugin and there is none."""
        entry = self._entry(request, name)
        schema = settings_form.schema_of(entry)
        shown, problem, sent = json.dumps(masked(entry), indent=2, ensure_ascii=False), "", None
        if request.method == "POST":
            sent = request.POST.dict()
            shown = sent.get("settings", "")
            try:
                settings = settings_form.read(entry, sent) if schema else json.loads(shown)
                registry.configure(name, actor=audit.actor_of(request), settings=settings)
            except (ValueError, ZelavisError) as error:
                problem = str(error)
            else:
                messages.success(request, "The settings are in force from the next call on.")
                return self._back(entry)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Settings of {name}",
            "opts": self.opts,
            "entry": entry,
            "rows": settings_form.rows(entry, sent),
            "shown": shown,
            "problem": problem,
            "schema": schema,
        }
        return TemplateResponse(request, "admin/zelavis/pluginentry/settings.html", context)

    def _do(self, request: HttpRequest, entry: PluginEntry | None, verb: Any, again: str = "") -> HttpResponse:
        try:
            attempt: Activation = verb()
        except ConsentRequired:
            messages.warning(request, "This version asks for more than was agreed to; look at it again.")
            return HttpResponseRedirect(again) if again else self._back(entry)
        except (ZelavisError, SandboxError) as error:
            messages.error(request, error.message)
            return self._back(entry)
        tell(request, attempt)
        return HttpResponseRedirect(reverse("admin:zelavis_activation_change", args=[attempt.pk]))

    def _confirm(
        self, request: HttpRequest, entry: PluginEntry, *, title: str, text: str, button: str, purge: bool = False
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "entry": entry,
            "text": text,
            "button": button,
            "purge": purge,
        }
        return TemplateResponse(request, "admin/zelavis/pluginentry/confirm.html", context)

    def _entry(self, request: HttpRequest, name: str) -> PluginEntry:
        self._require(request)
        try:
            return registry.get(name)
        except UnknownPlugin as error:
            raise Http404(error.message) from error

    def _require(self, request: HttpRequest) -> None:
        if not self.may(request):
            raise PermissionDenied

    def _back(self, entry: PluginEntry | None) -> HttpResponse:
        if entry is None:
            return HttpResponseRedirect(reverse("admin:zelavis_pluginentry_changelist"))
        return HttpResponseRedirect(reverse("admin:zelavis_pluginentry_change", args=[entry.pk]))

    def get_queryset(self, request: HttpRequest) -> QuerySet[PluginEntry]:
        return super().get_queryset(request).select_related("serving")

    @admin.display(description="serves")
    def version(self, entry: PluginEntry) -> str:
        return entry.serving.version or "yes" if entry.serving else "–"

    @admin.display(description="registry", ordering="status")
    def wanted(self, entry: PluginEntry) -> SafeString:
        if entry.blocked:
            return badge("blocked")
        return (
            badge("waiting", "update waits") if entry.update_wait in PluginEntry.FOR_A_PERSON else badge(entry.status)
        )

    @admin.display(description="deployment", ordering="deployment_state")
    def deployed(self, entry: PluginEntry) -> SafeString:
        return badge(entry.deployment_state)

    @admin.display(description="activation", ordering="activation_state")
    def activated(self, entry: PluginEntry) -> SafeString:
        return badge(entry.activation_state)

    @admin.display(description="changed", ordering="updated_at")
    def changed(self, entry: PluginEntry) -> SafeString:
        return ago(entry.updated_at)


def _needed(target: targets.Target, entry: PluginEntry | None) -> list[settings_schema.Field]:
    """Settings that the version requires and that have no value yet, as fields of the form."""
    schema = carry.schema_of(target.manifest)
    missing = carry.carry(schema, json.loads(entry.settings) if entry else {}).missing
    return [field for field in settings_schema.fields(schema) if field.name in missing] if missing else []


def _asked(request: HttpRequest, target: targets.Target, *, update: bool) -> dict[str, Any]:
    """What the form adds to consent: settings, and how carefully the update goes."""
    settings = {}
    for field in settings_schema.fields(carry.schema_of(target.manifest)):
        text = request.POST.get(f"setting-{field.name}", "")
        if text:
            settings[field.name] = settings_form.value_of(field.kind, text)
    if not update:
        return {"settings": settings}
    numbers = {name: request.POST.get(name, "") for name in ("percent", "shadow_tapes")}
    return {"settings": settings, **{name: int(text) for name, text in numbers.items() if str(text).isdigit()}}


def tell(request: HttpRequest, attempt: Activation) -> None:
    """The end of a verb, as a message."""
    what = f"{attempt.action} of {attempt.plugin}"
    match attempt.state:
        case Activation.State.ACTIVE:
            messages.success(request, f"The plugin {attempt.deployment or attempt.plugin} serves.")
        case Activation.State.INACTIVE:
            messages.success(request, f"The plugin {attempt.plugin} no longer serves.")
        case Activation.State.ROLLING:
            messages.success(request, f"The version {attempt.deployment} gets {attempt.percent} % of the calls now.")
        case Activation.State.FAILED:
            messages.error(request, f"The {what} failed: {attempt.message}")
        case _:
            messages.info(request, f"The {what} is on its way; this page shows how far it is.")
