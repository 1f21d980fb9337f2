"""Content in the admin: before-hooks are asked while the form is checked, and their "no" is an error of the form.

The admin saves inside a transaction, in which no plugin may run. So the hooks are asked first, with the form as it
was sent, and what they said is put into the form that is then saved.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.flatpages.admin import FlatPageAdmin
from django.contrib.flatpages.models import FlatPage
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from zelavis import audit
from zelavis.errors import ZelavisError
from zelavis.hooks import chain
from zelavis.hooks.firing import FireResult, Rejection
from zelavis.hooks.sources.models import BINDINGS, JUDGED, ask

_VERDICT = "_zelavis_verdict"


class HookedAdmin(admin.ModelAdmin):
    """A model admin whose model is one of ``ZELAVIS_CONTENT_MODELS``."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method == "POST" and self.model in BINDINGS:
            self._ask_before_save(request, object_id)
        with chain.by(audit.actor_of(request)):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        with chain.by(audit.actor_of(request)):
            return super().changelist_view(request, extra_context)

    def _ask_before_save(self, request: HttpRequest, object_id: str | None) -> None:
        obj = self.get_object(request, unquote(object_id)) if object_id else None
        allowed = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if not allowed or (object_id and obj is None):
            return
        form = self.get_form(request, obj, change=obj is not None)(request.POST, request.FILES, instance=obj)
        if not form.is_valid():
            return
        event = BINDINGS[self.model].event(form.instance, created=obj is None)
        setattr(request, _VERDICT, _verdict("content:beforeSave", form.instance, event, audit.actor_of(request)))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        base: Any = super().get_form(request, obj, change, **kwargs)
        binding = BINDINGS.get(self.model)

        def _post_clean(form: Any) -> None:
            base._post_clean(form)
            verdict: FireResult | None = getattr(request, _VERDICT, None)
            if verdict is None or binding is None or form.errors:
                return
            if verdict.rejection is None:
                binding.apply(form.instance, verdict.changes)
                return
            field = binding.fields.get(verdict.rejection.field)
            name = field.name if field is not None and field.name in form.fields else None
            form.add_error(name, f"{verdict.rejection.plugin}: {verdict.rejection.message}")

        return type(base)("JudgedForm", (base,), {"_post_clean": _post_clean})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if getattr(request, _VERDICT, None) is not None:
            setattr(obj, JUDGED, "content:beforeSave")
        super().save_model(request, obj, form, change)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id)) if request.method == "POST" else None
        if obj is not None and self.has_delete_permission(request, obj) and self.model in BINDINGS:
            verdict = _verdict("content:beforeDelete", obj, BINDINGS[self.model].event(obj), audit.actor_of(request))
            if verdict.rejection is not None:
                messages.error(request, _said(verdict.rejection))
                opts = self.opts
                return HttpResponseRedirect(reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[obj.pk]))
            setattr(request, _VERDICT, verdict)
        with chain.by(audit.actor_of(request)):
            return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        if getattr(request, _VERDICT, None) is not None:
            setattr(obj, JUDGED, "content:beforeDelete")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            verdict = _verdict("content:beforeDelete", obj, BINDINGS[self.model].event(obj), audit.actor_of(request))
            if verdict.rejection is None:
                setattr(obj, JUDGED, "content:beforeDelete")
                obj.delete()
            else:
                messages.error(request, f"{obj}: {_said(verdict.rejection)}")


def _verdict(hook: str, instance: models.Model, event: dict[str, Any], actor: str) -> FireResult:
    """What the listeners say. That they could not be asked is a no."""
    try:
        return ask(hook, instance, event, actor=actor)
    except ZelavisError as error:
        rejection = Rejection(plugin="zelavis", message=error.message, code=error.code)
        return FireResult(hook=hook, correlation="", rejection=rejection)


def _said(rejection: Rejection) -> str:
    return f"The plugin {rejection.plugin} says: {rejection.message}"


class HookedFlatPageAdmin(HookedAdmin, FlatPageAdmin):
    """Flat pages, with plugins asked before a page is saved or deleted."""


admin.site.unregister(FlatPage)
admin.site.register(FlatPage, HookedFlatPageAdmin)
