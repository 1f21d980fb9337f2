"""The HTTP routes of manifests, events and schedules."""

from __future__ import annotations

from django.urls import path

from runs.api import manifests

urlpatterns = [
    path("api/manifests", manifests.Manifests.as_view(), name="manifests"),
    path("api/manifests/<str:environment>", manifests.CurrentManifest.as_view(), name="manifest"),
    path("api/events", manifests.Events.as_view(), name="events"),
    path("api/schedules/<str:environment>", manifests.Schedules.as_view(), name="schedules"),
]
