"""All routes. Wiring only."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("runs.api.urls")),
    path("", include("marketplace.api.urls")),
    path("", include("marketplace.views.urls")),
    path("", include("zelavis.api.urls")),
]
