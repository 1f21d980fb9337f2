"""The core's HTTP routes."""

from __future__ import annotations

from django.urls import path

from zelavis.api import health
from zelavis.api.schema import SchemaView

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("api/schema", SchemaView.as_view(), name="schema"),
]
