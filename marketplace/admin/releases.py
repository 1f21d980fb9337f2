"""Releases in the admin: the queue, the review page, and the verbs as pages that ask before they do."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from marketplace import actors, capabilities, catalogue, curation, states
from marketplace.admin import review_page
from marketplace.admin.lists import BehindFilter, CappedAdmin
from marketplace.lookups import in_any, number
from marketplace.models import Plugin, Publisher, Release, ReleaseState
from zelavis.admin.readonly import real_id
from zelavis.errors import ZelavisError
from zelavis.templatetags.zelavis_ui import ago, badge

#: Verbs that can be done to several releases at once. Approving is not among them: each is read.
_BULK = ("claim", "reject", "quarantine")
_PAGE = 25
_TEXTS = ("manifest_text", "inspection_text", "readme", "changelog", "delta_text", "record_text")
_DANGEROUS = {"reject", "quarantine", "takedown", "yank"}


class _WordFilter(admin.SimpleListFilter):
    """A filter over words that are known: asking the table for them would read all of it."""

    words: tuple[str, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Release]) -> QuerySet[Release]:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value in self.words else queryset


class RiskFilter(_WordFilter):
    """By risk."""

    title, parameter_name, words = "risk", "risk", capabilities.LEVELS


class AuditFilter(_WordFilter):
    """By what the newest audit said."""

    title, parameter_name, words = "audit", "audit_state", ("passed", "failed", "inconclusive", "pending")


class StateFilter(_WordFilter):
    """By state."""

    title, parameter_name, words = "state", "state__exact", tuple(ReleaseState.values)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in ReleaseState]


class KindFilter(_WordFilter):
    """By kind of entry."""

    title, parameter_name, words = "kind", "kind", ("javascript", "wasm")


@admin.register(Release)
class ReleaseAdmin(CappedAdmin):
    """Every release there is; seen here, changed by verbs."""

    list_display = ("shown", "publisher", "shown_state", "shown_risk", "shown_audit", "submitted", "claimed_by")
    list_display_links = ("shown",)
    list_filter = (StateFilter, RiskFilter, AuditFilter, KindFilter, BehindFilter)
    sortable_by = ("submitted",)
    list_select_related = ("plugin", "publisher")
    search_fields = ("plugin__name",)
    search_help_text = "Beginning of the plugin's name, a publisher, or a digest"
    actions = [f"do_{verb}" for verb in _BULK]

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("queue/", wrap(self.queue_view), name="marketplace_release_queue"),
            path("verbs/<str:verb>/", wrap(self.bulk_view), name="marketplace_release_bulk"),
            path("<str:object_id>/verb/<str:verb>/", wrap(self.verb_view), name="marketplace_release_verb"),
            path("<str:object_id>/file/", wrap(self.file_view), name="marketplace_release_file"),
            *super().get_urls(),
        ]

    # Lists

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Release], search_term: str
    ) -> tuple[QuerySet[Release], bool]:
        return named(queryset, search_term), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        # A list shows none of the texts, and they are most of a row.
        return super().get_queryset(request).defer(*_TEXTS)

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """What waits, oldest first."""
        self._require_view(request)
        waiting = Release.objects.all()
        if request.GET.get("mine"):
            waiting = waiting.filter(claimed_by=actors.of(request).identity)
        # Keys first: an index alone orders them, and only the rows of one page are read.
        page = Paginator(waiting.queue(), _PAGE).get_page(request.GET.get("page"))
        keys = [key for key, _ in page]
        shown = Release.objects.filter(pk__in=keys).select_related("plugin", "publisher")
        releases = {release.pk: release for release in shown.prefetch_related("findings")}
        now = timezone.now()
        rows = [
            {
                "release": release,
                "delta": capabilities.summary(release.delta),
                "findings": review_page.counts(list(release.findings.all())),
                "days": release.waited_seconds(now) / 86_400,
            }
            for release in (releases[key] for key in keys if key in releases)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Curation queue",
            "opts": self.opts,
            "rows": rows,
            "page": page,
            "mine": bool(request.GET.get("mine")),
            "may_claim": request.user.has_perm(states.VERBS["claim"].permission),
            "waiting_for_authors": Release.objects.filter(state="changes_requested").count(),
        }
        return TemplateResponse(request, "admin/marketplace/release/queue.html", context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found = {}
        for name in _BULK:
            verb = states.VERBS[name]
            if request.user.has_perm(verb.permission):
                found[f"do_{name}"] = (_bulk_action(name), f"do_{name}", f"{verb.label} selected releases")
        return found

    # One release

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The review page."""
        release = self._get(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{release.plugin.name} {release.version}",
            "opts": self.opts,
            "original": release,
            "dangerous": _DANGEROUS,
            **review_page.context(release, actor=actors.of(request), now=timezone.now()),
        }
        return TemplateResponse(request, "admin/marketplace/release/review.html", context)

    def file_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One file of the bundle, as text."""
        release = self._get(request, object_id)
        name = request.GET.get("name", "")
        try:
            text = review_page.file_text(release, name)
        except ZelavisError as error:
            messages.error(request, error.message)
            return self._review(release)
        if text is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": name,
            "opts": self.opts,
            "release": release,
            "name": name,
            "lines": list(enumerate(text.split("\n"), 1)),
        }
        return TemplateResponse(request, "admin/marketplace/release/file.html", context)

    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """A page that says what the verb does and asks why; its form does it."""
        release = self._get(request, object_id)
        wanted = self._verb(verb)
        if request.method == "POST":
            return self._do(request, [release], wanted)
        return self._confirm(request, [release], wanted)

    def bulk_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """The same for several releases; they come from the list's action."""
        self._require_view(request)
        wanted = self._verb(verb)
        if verb not in _BULK:
            raise Http404
        if not request.user.has_perm(wanted.permission):
            raise PermissionDenied
        ids = (request.POST if request.method == "POST" else request.GET).getlist("id")[:100]
        chosen = list(Release.objects.select_related("plugin", "publisher").filter(pk__in=ids))
        if not chosen:
            messages.warning(request, "Nothing was selected.")
            return HttpResponseRedirect(reverse("admin:marketplace_release_changelist"))
        if request.method == "POST":
            return self._do(request, chosen, wanted)
        return self._confirm(request, chosen, wanted)

    def _confirm(
        self, request: HttpRequest, chosen: list[Release], verb: states.Verb, *, problem: str = "", reason: str = ""
    ) -> HttpResponse:
        if verb.permission and not request.user.has_perm(verb.permission) and not problem:
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.label}: {chosen[0].plugin.name} {chosen[0].version}" if len(chosen) == 1 else verb.label,
            "opts": self.opts,
            "releases": chosen,
            "verb": verb,
            "problem": problem,
            "reason": reason,
            "dangerous": verb.name in _DANGEROUS,
            "back": reverse("admin:marketplace_release_change", args=[chosen[0].pk])
            if len(chosen) == 1
            else reverse("admin:marketplace_release_changelist"),
        }
        status = 409 if problem else 200
        return TemplateResponse(request, "admin/marketplace/release/confirm.html", context, status=status)

    def _do(self, request: HttpRequest, chosen: list[Release], verb: states.Verb) -> HttpResponse:
        actor, reason = actors.of(request), request.POST.get("reason", "")
        for release in chosen:
            seen = request.POST.get(f"revision-{release.pk}", "")
            try:
                done = curation.act(
                    release,
                    verb.name,
                    actor=actor,
                    reason=reason,
                    revision=-1 if (known := number(seen)) is None else known,
                    digest=request.POST.get(f"digest-{release.pk}", ""),
                )
            except ZelavisError as error:
                if error.status == 403:
                    raise PermissionDenied(error.message) from error
                if len(chosen) == 1:
                    now = self._get(request, release.pk)
                    return self._confirm(request, [now], verb, problem=error.message, reason=reason)
                messages.error(request, f"{release}: {error.message}")
            else:
                messages.success(request, f"{verb.label}: {done} is {done.get_state_display().lower()} now.")
        return (
            self._review(chosen[0])
            if len(chosen) == 1
            else HttpResponseRedirect(reverse("admin:marketplace_release_changelist"))
        )

    def _get(self, request: HttpRequest, object_id: str) -> Release:
        self._require_view(request)
        release = (
            Release.objects.select_related("plugin", "publisher", "signed_by").filter(pk=real_id(object_id)).first()
        )
        if release is None:
            raise Http404
        return release

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _verb(self, name: str) -> states.Verb:
        verb = states.VERBS.get(name)
        if verb is None:
            raise Http404
        return verb

    def _review(self, release: Release) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:marketplace_release_change", args=[release.pk]))

    # Columns

    @admin.display(description="release")
    def shown(self, release: Release) -> str:
        return str(release)

    @admin.display(description="state")
    def shown_state(self, release: Release) -> SafeString:
        return badge(release.state)

    @admin.display(description="risk")
    def shown_risk(self, release: Release) -> SafeString:
        return badge(release.risk)

    @admin.display(description="audit")
    def shown_audit(self, release: Release) -> SafeString:
        return badge(release.audit_state)

    @admin.display(description="submitted", ordering="submitted_at")
    def submitted(self, release: Release) -> SafeString:
        return format_html("{}", ago(release.submitted_at))


def named(queryset: QuerySet[Release], term: str) -> QuerySet[Release]:
    """Releases by what indexes know, so that a search among many is as fast as among few."""
    word = term.strip().lower()
    if not word:
        return queryset
    if len(word) == 64 and not set(word) - set("0123456789abcdef"):
        return queryset.filter(Q(digest=word) | Q(entry_digest=word))
    plugins = Plugin.objects.filter(catalogue.beginning("name", word)).values_list("pk", flat=True)
    publisher = Publisher.objects.filter(slug=word).values_list("pk", flat=True).first()
    return in_any(queryset, "plugin_id", plugins, or_=Q(publisher=publisher) if publisher else Q(pk__in=[]))


def _bulk_action(name: str) -> Any:
    def action(modeladmin: ReleaseAdmin, request: HttpRequest, queryset: QuerySet[Release]) -> HttpResponseRedirect:
        ids = "&".join(f"id={key}" for key in queryset.values_list("pk", flat=True)[:100])
        return HttpResponseRedirect(f"{reverse('admin:marketplace_release_bulk', args=[name])}?{ids}")

    action.__name__ = f"do_{name}"
    return action
