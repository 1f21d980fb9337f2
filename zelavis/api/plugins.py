"""``/api/plugins``: the registry and its verbs."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from zelavis import activation, adapters, audit, registry
from zelavis.api import conditional
from zelavis.api.camel import CamelSerializer, read
from zelavis.api.idempotency import Idempotent
from zelavis.api.shapes import (
    ActivationWithEvents,
    BreakerList,
    BreakerShape,
    EntryShape,
    PluginAndActivation,
    PluginAndMaybeActivation,
    PluginList,
    breaker_of,
)
from zelavis.errors import ActivationFailed, Conflict, WorkerNotFound, ZelavisError
from zelavis.hooks import breakers
from zelavis.models import Activation, CircuitBreaker, DispatchWorker, PluginEntry

#: The grammar of plugin names, as in the manifest.
NAME = r"^[a-z][a-z0-9-]{1,62}[a-z0-9]$"
_SCOPES = {"GET": "plugins:read", "POST": "plugins:write", "PATCH": "plugins:write", "DELETE": "plugins:write"}


class NewPlugin(CamelSerializer):
    """A new entry. With ``status: installed`` it is installed in the same request."""

    name = serializers.RegexField(NAME)
    specifier = serializers.CharField(max_length=2000, required=False)
    status = serializers.ChoiceField(choices=PluginEntry.Status.choices, default="available")
    source = serializers.ChoiceField(choices=PluginEntry.Source.choices, default="community")  # type: ignore[assignment]
    order = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False, allow_null=True)
    adapter = serializers.CharField(max_length=30, default="sandbox")
    worker = serializers.CharField(max_length=130, required=False)
    consent = serializers.CharField(max_length=64, required=False)
    reason = serializers.CharField(max_length=2000, required=False)


class PluginChange(CamelSerializer):
    """What may be changed of an entry. ``status`` installs or uninstalls."""

    status = serializers.ChoiceField(choices=PluginEntry.Status.choices, required=False)
    source = serializers.ChoiceField(choices=PluginEntry.Source.choices, required=False)  # type: ignore[assignment]
    order = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False, allow_null=True)
    settings = serializers.DictField(required=False)
    consent = serializers.CharField(max_length=64, required=False)
    reason = serializers.CharField(max_length=2000, required=False)


class InstallRequest(CamelSerializer):
    """A version to install or update to."""

    version = serializers.CharField(max_length=100, required=False)
    #: From the error ``consent_required``: exactly what was shown there is agreed to.
    consent = serializers.CharField(max_length=64, required=False)
    adapter = serializers.CharField(max_length=30, required=False)
    worker = serializers.CharField(max_length=130, required=False)
    #: From the error ``settings_required``, or to have other values than the defaults at once.
    settings = serializers.DictField(required=False)
    reason = serializers.CharField(max_length=2000, required=False)


class UpdateRequest(CamelSerializer):
    """A version to update to; the newest when none is named."""

    version = serializers.CharField(max_length=100, required=False)
    consent = serializers.CharField(max_length=64, required=False)
    settings = serializers.DictField(required=False)
    #: Share of the calls at first, in percent; 100: all at once. The update policy's when not given.
    percent = serializers.IntegerField(min_value=1, max_value=100, required=False)
    #: Recorded calls to run again with the version before it serves; 0: none. The update policy's when not given.
    shadow_tapes = serializers.IntegerField(min_value=0, max_value=1000, required=False)
    reason = serializers.CharField(max_length=2000, required=False)


class UninstallRequest(CamelSerializer):
    """Whether the plugin's data goes too."""

    purge = serializers.BooleanField(default=False)
    reason = serializers.CharField(max_length=2000, required=False)


class ReasonBody(CamelSerializer):
    """Why."""

    reason = serializers.CharField(max_length=2000, required=False)


class Plugins(Idempotent):
    """The registry."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="plugins_list", responses=PluginList)
    def get(self, request: Request) -> Response:
        """All entries, in registry order, at one revision."""
        revision, _ = registry.revision()
        entries = list(registry.entries())
        told = PluginList({"data": entries, "revision": revision}).data
        # The figures of a staged update are the marketplace's, and move with every call.
        staged = any(entry.rollout is not None for entry in entries)
        return conditional.answer(request, told, kind="registry", revision=revision, moving=staged)

    @extend_schema(operation_id="plugins_create", request=NewPlugin, responses={201: PluginAndMaybeActivation})
    def post(self, request: Request) -> Response:
        """Register a plugin; one that a worker serves is told so."""
        body = read(NewPlugin, request.data)
        actor = audit.actor_of(request)
        reason = body.get("reason", "")
        entry = registry.register(
            body["name"],
            actor=actor,
            specifier=body.get("specifier", ""),
            source=body["source"],
            order=body.get("order"),
            adapter=body["adapter"],
            worker=worker_of(body.get("worker")),
            reason=reason,
        )
        attempt = None
        if body["status"] == PluginEntry.Status.INSTALLED:
            try:
                attempt = activation.install(
                    entry.name, actor=actor, consent=body.get("consent"), implied=True, reason=reason
                )
            except ZelavisError as error:
                _take_back(entry, error, actor=actor)
                raise
        elif adapters.get(entry.adapter).needs_worker:
            attempt = activation.announce(entry.name, actor=actor, reason=reason)
        return answer(request, entry.name, attempt, created=True)


class Plugin(Idempotent):
    """One entry."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="plugins_get", responses=EntryShape)
    def get(self, request: Request, name: str) -> Response:
        """The entry, with what serves and what served before."""
        entry = registry.get(name)
        return conditional.answer(
            request, EntryShape(entry).data, kind="plugin", revision=entry.revision, moving=entry.rollout is not None
        )

    @extend_schema(operation_id="plugins_change", request=PluginChange, responses=PluginAndMaybeActivation)
    def patch(self, request: Request, name: str) -> Response:
        """Change order, source or settings; a ``status`` that differs installs or uninstalls."""
        body = read(PluginChange, request.data)
        actor, expected = audit.actor_of(request), conditional.expected(request, "plugin")
        reason = body.get("reason", "")
        entry = registry.get(name)
        if {"settings", "order", "source"} & set(body):
            entry = registry.configure(
                name,
                actor=actor,
                settings=body.get("settings"),
                order=body.get("order"),
                clear_order="order" in body and body["order"] is None,
                source=body.get("source"),
                expected=expected,
            )
            expected = None if expected is None else entry.revision
        attempt = None
        if body.get("status", entry.status) != entry.status:
            if body["status"] == PluginEntry.Status.INSTALLED:
                attempt = activation.install(
                    name, actor=actor, consent=body.get("consent"), implied=True, reason=reason, expected=expected
                )
            else:
                attempt = activation.uninstall(name, actor=actor, reason=reason, expected=expected)
        return answer(request, name, attempt)

    @extend_schema(operation_id="plugins_remove", request=None, responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Take an uninstalled plugin out of the registry; ``?purge=true`` deletes what it left behind."""
        registry.remove(
            name,
            actor=audit.actor_of(request),
            purge=request.query_params.get("purge") == "true",
            expected=conditional.expected(request, "plugin"),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class Verb(Idempotent):
    """A verb on an entry; answers with the attempt: 200 active, 202 pending, 422 failed."""

    scopes: ClassVar[dict[str, str]] = {"POST": "plugins:write"}


class Install(Verb):
    """Install."""

    @extend_schema(
        operation_id="plugins_install",
        request=InstallRequest,
        responses={200: PluginAndActivation, 202: PluginAndActivation},
    )
    def post(self, request: Request, name: str) -> Response:
        """Install the newest installable version, or the one named."""
        body = read(InstallRequest, request.data)
        attempt = activation.install(
            name,
            actor=audit.actor_of(request),
            version=body.get("version"),
            consent=body.get("consent"),
            implied=True,
            adapter=body.get("adapter"),
            worker=worker_of(body.get("worker")),
            settings=body.get("settings"),
            reason=body.get("reason", ""),
            expected=conditional.expected(request, "plugin"),
        )
        return answer(request, name, attempt)


class Update(Verb):
    """Update."""

    @extend_schema(
        operation_id="plugins_update",
        request=UpdateRequest,
        responses={200: PluginAndActivation, 202: PluginAndActivation},
    )
    def post(self, request: Request, name: str) -> Response:
        """Bring another version into service; the present one serves until it answers."""
        body = read(UpdateRequest, request.data)
        attempt = activation.update(
            name,
            actor=audit.actor_of(request),
            version=body.get("version"),
            consent=body.get("consent"),
            settings=body.get("settings"),
            percent=body.get("percent"),
            shadow_tapes=body.get("shadow_tapes"),
            reason=body.get("reason", ""),
            expected=conditional.expected(request, "plugin"),
        )
        return answer(request, name, attempt)


class Rollback(Verb):
    """Roll back."""

    @extend_schema(
        operation_id="plugins_rollback",
        request=ReasonBody,
        responses={200: PluginAndActivation, 202: PluginAndActivation},
    )
    def post(self, request: Request, name: str) -> Response:
        """Go back to the version that served before."""
        body = read(ReasonBody, request.data)
        attempt = activation.rollback(
            name,
            actor=audit.actor_of(request),
            reason=body.get("reason", ""),
            expected=conditional.expected(request, "plugin"),
        )
        return answer(request, name, attempt)


class Uninstall(Verb):
    """Uninstall."""

    @extend_schema(
        operation_id="plugins_uninstall",
        request=UninstallRequest,
        responses={200: PluginAndActivation, 202: PluginAndActivation},
    )
    def post(self, request: Request, name: str) -> Response:
        """Take the plugin out of service; ``purge`` deletes its data too."""
        body = read(UninstallRequest, request.data)
        attempt = activation.uninstall(
            name,
            actor=audit.actor_of(request),
            purge=body["purge"],
            reason=body.get("reason", ""),
            expected=conditional.expected(request, "plugin"),
        )
        return answer(request, name, attempt)


class Activate(Verb):
    """Activate again."""

    @extend_schema(
        operation_id="plugins_activate",
        request=ReasonBody,
        responses={200: PluginAndActivation, 202: PluginAndActivation},
    )
    def post(self, request: Request, name: str) -> Response:
        """Ask again whether what is deployed answers; a failed attempt is retried."""
        body = read(ReasonBody, request.data)
        attempt = activation.activate(name, actor=audit.actor_of(request), reason=body.get("reason", ""))
        return answer(request, name, attempt)


class Breaker(APIView):
    """The circuit breaker of one plugin."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="plugins_breaker_get", responses=BreakerShape)
    def get(self, request: Request, name: str) -> Response:
        """Failures in a row, and until when the plugin is let rest."""
        registry.get(name)
        return Response(BreakerShape(breaker_of(name) or CircuitBreaker(plugin=name)).data)

    @extend_schema(operation_id="plugins_breaker_reset", request=None, responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Close it now."""
        registry.get(name)
        breakers.reset(name, actor=audit.actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Breakers(APIView):
    """All circuit breakers with anything to tell."""

    scopes: ClassVar[dict[str, str]] = {"GET": "plugins:read"}

    @extend_schema(operation_id="breakers_list", responses=BreakerList)
    def get(self, request: Request) -> Response:
        """Plugins with failures in a row, open ones first."""
        return Response(BreakerList({"data": CircuitBreaker.objects.all()}).data)


def _take_back(entry: PluginEntry, error: ZelavisError, *, actor: str) -> None:
    """Undo the registration whose installation was refused: the request comes again with what it lacked, say consent.

    Once there is an attempt, or somebody else changed the entry, it stays.
    """
    with contextlib.suppress(ZelavisError):
        registry.remove(entry.name, actor=actor, reason=f"Not installed: {error.message}", expected=entry.revision)


def worker_of(name: str | None) -> DispatchWorker | None:
    """The worker behind ``namespace/worker``.

    Raises:
        WorkerNotFound: there is none.
    """
    if name is None:
        return None
    namespace, _, worker = name.partition("/")
    found = DispatchWorker.objects.filter(namespace__name=namespace, name=worker).first()
    if found is None:
        raise WorkerNotFound(f"There is no plugin worker {name[:130]!r}; it is named namespace/worker.")
    return found


def answer(request: Request, name: str, attempt: Activation | None, *, created: bool = False) -> Response:
    """Entry and attempt. A failed attempt is a problem that carries both."""
    entry = EntryShape(registry.get(name)).data
    told: dict[str, Any] | None = None if attempt is None else dict(ActivationWithEvents(attempt).data)
    if attempt is not None and attempt.state == Activation.State.FAILED:
        raise ActivationFailed(
            attempt.message or None, plugin=entry, activation=told, reason=attempt.code or "activation_failed"
        )
    code: int = status.HTTP_201_CREATED if created else status.HTTP_200_OK
    headers = {"ETag": conditional.tag("plugin", entry["revision"])}
    if attempt is not None:
        headers["Location"] = reverse("activation", args=[attempt.pk])
        if attempt.finished_at is None:
            code = status.HTTP_202_ACCEPTED
    elif created:
        headers["Location"] = reverse("plugin", args=[name])
    if attempt is not None and attempt.state == Activation.State.SUPERSEDED:
        raise Conflict("A later request took the place of this one.", activation=told)
    return Response({"plugin": entry, "activation": told}, status=code, headers=headers)
