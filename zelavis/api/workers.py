"""``/api/namespaces``: dispatch namespaces, their workers, and the change of a worker's secret."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from zelavis import audit, workers
from zelavis.api.camel import CamelSerializer, read
from zelavis.api.idempotency import Idempotent
from zelavis.models import DispatchNamespace, DispatchWorker

_NAME = r"^[a-z][a-z0-9-]{0,61}[a-z0-9]$"
_SCOPES = {"GET": "workers:read", "POST": "workers:write", "PATCH": "workers:write", "DELETE": "workers:write"}


class WorkerShape(CamelSerializer):
    """A worker. Its secrets are told by name only."""

    name = serializers.CharField()
    namespace = serializers.CharField(source="namespace.name")
    base_url = serializers.CharField()
    takes_uploads = serializers.BooleanField()
    timeout_ms = serializers.IntegerField()
    max_answer_bytes = serializers.IntegerField()
    key_ids = serializers.SerializerMethodField()
    rotating = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_key_ids(self, row: DispatchWorker) -> list[str]:
        """Of the secrets that count, the newest first; empty: the server's own, or none."""
        return workers.key_ids(row)

    def get_rotating(self, row: DispatchWorker) -> bool:
        """Whether the secret before still counts."""
        return bool(row.previous_secret)


class NamespaceShape(CamelSerializer):
    """A namespace and its workers."""

    name = serializers.CharField()
    description = serializers.CharField()
    workers = WorkerShape(many=True)
    created_at = serializers.DateTimeField()


class NamespaceList(CamelSerializer):
    """All namespaces."""

    data = NamespaceShape(many=True)  # type: ignore[assignment]


class WorkerList(CamelSerializer):
    """The workers of a namespace."""

    data = WorkerShape(many=True)  # type: ignore[assignment]


class NewNamespace(CamelSerializer):
    """A namespace to make."""

    name = serializers.RegexField(_NAME)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class WorkerChange(CamelSerializer):
    """What may be changed of a worker; its secret is changed by ``rotate``."""

    base_url = serializers.CharField(max_length=500, required=False)
    takes_uploads = serializers.BooleanField(required=False)
    timeout_ms = serializers.IntegerField(min_value=50, max_value=60_000, required=False)
    max_answer_bytes = serializers.IntegerField(min_value=1024, max_value=16 << 20, required=False)


class NewWorker(WorkerChange):
    """A worker to make. Without ``secret`` the server's ZELAVIS_WORKER_SECRET signs, or nothing does."""

    name = serializers.RegexField(_NAME)
    base_url = serializers.CharField(max_length=500)
    secret = serializers.CharField(max_length=500, required=False)


class RotationBody(CamelSerializer):
    """The new secret; drawn here when none is given."""

    secret = serializers.CharField(max_length=500, required=False)


class RotationAnswer(CamelSerializer):
    """The worker, and a secret that was drawn: shown this once."""

    worker = WorkerShape()
    secret = serializers.CharField(allow_null=True)


class Namespaces(Idempotent):
    """Dispatch namespaces."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="namespaces_list", responses=NamespaceList)
    def get(self, request: Request) -> Response:
        """All namespaces with their workers, by name."""
        rows = DispatchNamespace.objects.prefetch_related("workers__namespace")
        return Response(NamespaceList({"data": [_shown(row) for row in rows]}).data)

    @extend_schema(operation_id="namespaces_create", request=NewNamespace, responses={201: NamespaceShape})
    def post(self, request: Request) -> Response:
        """Make a namespace."""
        body = read(NewNamespace, request.data)
        row = workers.add_namespace(
            body["name"], description=body.get("description", ""), actor=audit.actor_of(request)
        )
        headers = {"Location": reverse("namespace", args=[row.name])}
        return Response(NamespaceShape(_shown(row)).data, status=status.HTTP_201_CREATED, headers=headers)


class Namespace(Idempotent):
    """One namespace."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="namespaces_get", responses=NamespaceShape)
    def get(self, request: Request, namespace: str) -> Response:
        """The namespace and its workers."""
        return Response(NamespaceShape(_shown(workers.namespace(namespace))).data)

    @extend_schema(operation_id="namespaces_remove", request=None, responses={204: None})
    def delete(self, request: Request, namespace: str) -> Response:
        """Take an empty namespace away."""
        workers.remove_namespace(namespace, actor=audit.actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Workers(Idempotent):
    """The workers of a namespace."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="workers_list", responses=WorkerList)
    def get(self, request: Request, namespace: str) -> Response:
        """The workers of a namespace, by name."""
        rows = workers.namespace(namespace).workers.select_related("namespace")
        return Response(WorkerList({"data": rows}).data)

    @extend_schema(operation_id="workers_create", request=NewWorker, responses={201: WorkerShape})
    def post(self, request: Request, namespace: str) -> Response:
        """Add a worker."""
        body = read(NewWorker, request.data)
        secret = body.pop("secret", "")
        row = workers.add(namespace, body, secret=secret, actor=audit.actor_of(request))
        headers = {"Location": reverse("worker", args=[namespace, row.name])}
        return Response(WorkerShape(row).data, status=status.HTTP_201_CREATED, headers=headers)


class Worker(Idempotent):
    """One worker."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="workers_get", responses=WorkerShape)
    def get(self, request: Request, namespace: str, name: str) -> Response:
        """The worker."""
        return Response(WorkerShape(workers.get(namespace, name)).data)

    @extend_schema(operation_id="workers_change", request=WorkerChange, responses=WorkerShape)
    def patch(self, request: Request, namespace: str, name: str) -> Response:
        """Change where it is and its limits; in force from the next request on."""
        values = read(WorkerChange, request.data)
        row = workers.change(workers.get(namespace, name), values, actor=audit.actor_of(request))
        return Response(WorkerShape(row).data)

    @extend_schema(operation_id="workers_remove", request=None, responses={204: None})
    def delete(self, request: Request, namespace: str, name: str) -> Response:
        """Take a worker away that no plugin names."""
        workers.remove(workers.get(namespace, name), actor=audit.actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Rotation(Idempotent):
    """The change of a worker's secret."""

    scopes: ClassVar[dict[str, str]] = _SCOPES

    @extend_schema(operation_id="workers_rotate", request=RotationBody, responses=RotationAnswer)
    def post(self, request: Request, namespace: str, name: str) -> Response:
        """Begin: the new secret and the one before both count, until the change is ended with DELETE."""
        row = workers.get(namespace, name)
        drawn = workers.rotate(
            row, secret=read(RotationBody, request.data).get("secret", ""), actor=audit.actor_of(request)
        )
        return Response(RotationAnswer({"worker": row, "secret": drawn or None}).data)

    @extend_schema(operation_id="workers_settle", request=None, responses={204: None})
    def delete(self, request: Request, namespace: str, name: str) -> Response:
        """End: the secret before counts no more."""
        workers.settle(workers.get(namespace, name), actor=audit.actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _shown(row: DispatchNamespace) -> dict[str, Any]:
    return {
        "name": row.name,
        "description": row.description,
        "workers": list(row.workers.all()),
        "created_at": row.created_at,
    }
