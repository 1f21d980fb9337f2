"""``GET /metrics``: figures for Prometheus, behind a token as everything else that tells of the inside."""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from zelavis import metrics
from zelavis.errors import Forbidden


class Metrics(APIView):
    """The figures of :mod:`zelavis.metrics`."""

    scopes: ClassVar[dict[str, str]] = {"GET": "metrics:read"}

    @extend_schema(
        operation_id="metrics",
        responses={(200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="Exposition format 0.0.4.")},
    )
    def get(self, request: Request) -> HttpResponse:
        """Gauges, a line each. Counts stop at 10,000."""
        if getattr(request.auth, "tenant", ""):
            raise Forbidden("The figures are of all tenants; this token is limited to one.")
        return HttpResponse(metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")
