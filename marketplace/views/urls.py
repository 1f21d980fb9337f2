"""The public catalogue's routes."""

from __future__ import annotations

from django.urls import path

from marketplace.views import files, pages

urlpatterns = [
    path("marketplace/", pages.index, name="catalogue"),
    path("marketplace/feed.atom", files.atom, name="catalogue-atom"),
    path("marketplace/icons/<slug:digest>.png", files.icon, name="catalogue-icon"),
    path("marketplace/publishers/<slug:slug>", pages.publisher, name="catalogue-publisher"),
    path("marketplace/plugins/<slug:name>", pages.plugin, name="catalogue-plugin"),
    path("marketplace/plugins/<slug:name>/<str:version>", pages.release, name="catalogue-release"),
]
