"""All routes. Wiring only."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from zelavis.views import problems

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="catalogue"), name="root"),
    path("problems/", problems.index, name="problems"),
    path("problems/<slug:code>", problems.problem, name="problem"),
    path("admin/", admin.site.urls),
    path("", include("runs.api.urls")),
    path("", include("marketplace.api.urls")),
    path("", include("marketplace.views.urls")),
    path("", include("zelavis.api.urls")),
]
