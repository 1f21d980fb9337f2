"""``/api/manifests``, ``/api/events`` and ``/api/schedules``: what starts runs by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs import jsontext
from runs.api import manifest_bodies, manifest_shapes
from runs.api.base import RunsView, raw_body, tenant_of
from runs.manifests import ingesting, listing, registering
from runs.models import Manifest
from zelavis.audit import actor_of
from zelavis.errors import RouteNotFound


class _View(RunsView):
    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise RouteNotFound(path=request.path)


def _current(environment: str, tenant: str) -> Manifest:
    manifest_bodies.check_environment(environment)
    manifest = registering.current(environment, tenant=tenant)
    if manifest is None:
        raise manifest_bodies.NoManifest(environment=environment)
    return manifest


class Manifests(_View):
    """Registration."""

    scopes: ClassVar[dict[str, str]] = {**RunsView.scopes, "POST": "manifests:write"}

    @extend_schema(
        operation_id="registerManifest",
        summary="Register a manifest; it becomes the current one of its environment",
        request=manifest_shapes.REGISTER,
        responses=manifest_shapes.REGISTERED,
    )
    def post(self, request: Request) -> Response:
        body = manifest_bodies.registration(raw_body(request))
        manifest = registering.register(
            body["manifest"], environment=body["environment"], tenant=tenant_of(request), actor=actor_of(request)
        )
        answer: dict[str, Any] = {"ok": True, "versionId": manifest.version_id}
        warnings = jsontext.loads(manifest.warnings or "[]")
        return Response(answer | ({"warnings": warnings} if warnings else {}))


class CurrentManifest(_View):
    """The manifest in force."""

    @extend_schema(operation_id="getManifest", summary="The current manifest", responses=manifest_shapes.CURRENT)
    def get(self, request: Request, environment: str) -> Response:
        manifest = _current(environment, tenant_of(request))
        document = jsontext.loads(manifest.document)
        return Response({"environment": environment, "versionId": manifest.version_id, "manifest": document})


class Events(_View):
    """Event ingest."""

    @extend_schema(
        operation_id="ingestEvent",
        summary="Start the runs that the current manifest names for an event",
        description="With `resolveWaiting` it also resolves an EVENT wait of every run that waits for it.",
        request=manifest_shapes.EVENT,
        responses={200: manifest_shapes.INGESTED, 502: manifest_shapes.NOT_INGESTED},
    )
    def post(self, request: Request) -> Response:
        body = manifest_bodies.event(raw_body(request))
        resolve = body.get("resolveWaiting", False)
        ingested = ingesting.ingest(
            body["envelope"],
            environment=body["environment"],
            tenant=tenant_of(request),
            idempotency_key=body.get("idempotencyKey") or None,
            resolve_waiting=resolve,
            actor=actor_of(request),
        )
        matches = {"eventId": ingested.event_id, "matches": ingested.matches}
        if ingested.unregistered and not resolve:
            message = f'no manifest is registered for environment "{body["environment"]}"'
            return Response({"ok": False, "reason": "manifest_not_registered", "message": message})
        if ingested.all_failed:
            message = "every matched filter failed to trigger"
            refused = {"ok": False, "reason": "trigger_failed_for_all_matches", "message": message}
            return Response(refused | matches, status=502)
        answer: dict[str, Any] = {"ok": True, **matches}
        if ingested.resolved is not None:
            answer |= {"resolvedRuns": ingested.resolved, "resolving": ingested.pending}
        return Response(answer)


class Schedules(_View):
    """The schedules of an environment."""

    @extend_schema(
        operation_id="listSchedules", summary="Schedules of the current manifest", responses=manifest_shapes.SCHEDULES
    )
    def get(self, request: Request, environment: str) -> Response:
        manifest = _current(environment, tenant_of(request))
        rows = listing.schedules(environment, tenant=tenant_of(request))
        return Response({"environment": environment, "versionId": manifest.version_id, "data": rows})
