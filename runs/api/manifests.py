"""``/api/manifests``, ``/api/events`` and ``/api/schedules``: what starts runs by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs import jsontext
from runs.api import bodies, manifest_bodies, manifest_shapes
from runs.api.base import RunsView, raw_body, tenant_of
from runs.jsontext import ABSENT
from runs.manifests import ingesting, listing, registering
from runs.models import Manifest
from zelavis.audit import actor_of
from zelavis.errors import RouteNotFound


class _View(RunsView):
    """Base of these routes: other verbs are a 404, as in the seed."""

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise RouteNotFound(path=request.path)


def _current(environment: str, tenant: str) -> Manifest:
    manifest_bodies.check_environment(environment)
    manifest = registering.current(environment, tenant=tenant)
    if manifest is None:
        raise manifest_bodies.NoManifest(environment=environment)
    return manifest


class Manifests(_View):
    """Registering."""

    scopes: ClassVar[dict[str, str]] = {**RunsView.scopes, "POST": "manifests:write"}

    @extend_schema(
        operation_id="registerManifest",
        summary="Register a manifest; its filters and schedules are then in force",
        description="Registering the same manifest again changes nothing. What in it cannot be used is left out and "
        "named in `warnings`.",
        request=manifest_shapes.REGISTER,
        responses=manifest_shapes.REGISTERED,
    )
    def post(self, request: Request) -> Response:
        body = manifest_bodies.registration(raw_body(request))
        manifest = registering.register(
            body["manifest"], environment=body["environment"], tenant=tenant_of(request), actor=actor_of(request)
        )
        answer: dict[str, Any] = {"ok": True, "versionId": manifest.version_id}
        warnings = jsontext.loads(manifest.warnings)
        return Response(answer | ({"warnings": warnings} if warnings else {}))


class CurrentManifest(_View):
    """The manifest in force."""

    @extend_schema(
        operation_id="getManifest",
        summary="The manifest in force in an environment",
        responses=manifest_shapes.CURRENT,
    )
    def get(self, request: Request, environment: str) -> Response:
        manifest = _current(environment, tenant_of(request))
        document = jsontext.loads(manifest.document)
        return Response({"environment": environment, "versionId": manifest.version_id, "manifest": document})


class Events(_View):
    """Events from outside."""

    @extend_schema(
        operation_id="ingestEvent",
        summary="Start a run for each filter that the event fits",
        description="The same event again starts nothing twice. With `resolveWaiting` it also resolves one EVENT "
        "waitpoint in every run that waits for its type.",
        request=manifest_shapes.EVENT,
        responses={200: manifest_shapes.INGESTED, 502: manifest_shapes.NOT_INGESTED},
    )
    def post(self, request: Request) -> Response:
        body = manifest_bodies.event(raw_body(request))
        bodies.check_size(body["envelope"].get("data", ABSENT), "envelope.data")
        came = ingesting.ingest(
            body["envelope"],
            environment=body["environment"],
            tenant=tenant_of(request),
            idempotency_key=body.get("idempotencyKey"),
            resolve_waiting=body.get("resolveWaiting", False),
            actor=actor_of(request),
        )
        if came.unregistered and came.resolved is None:
            message = f'No manifest is registered for environment "{body["environment"]}".'
            return Response({"ok": False, "reason": "manifest_not_registered", "message": message})
        answer: dict[str, Any] = {"ok": True, "eventId": came.event_id, "matches": came.matches}
        if came.resolved is not None:
            answer |= {"resolvedRuns": came.resolved, "resolving": came.pending}
        if came.all_failed:
            failed = {"ok": False, "reason": "trigger_failed_for_all_matches"}
            return Response({**answer, **failed, "message": "every matched filter failed to trigger"}, status=502)
        return Response(answer)


class Schedules(_View):
    """Schedules and when they come next."""

    @extend_schema(
        operation_id="getSchedules",
        summary="The schedules of an environment, with their next and last runs",
        responses=manifest_shapes.SCHEDULES,
    )
    def get(self, request: Request, environment: str) -> Response:
        manifest = _current(environment, tenant_of(request))
        data = listing.schedules(environment, tenant=tenant_of(request))
        return Response({"environment": environment, "versionId": manifest.version_id, "data": data})
