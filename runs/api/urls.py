"""The HTTP routes of durable runs."""

from __future__ import annotations

from django.urls import path

from runs.api import injections, runs

urlpatterns = [
    path("api/runs", runs.RunList.as_view(), name="runs"),
    path("api/runs/<str:run_id>", runs.RunDetail.as_view(), name="run"),
    path("api/runs/<str:run_id>/resume", runs.RunResume.as_view(), name="run-resume"),
    path("api/runs/<str:run_id>/cancel", runs.RunCancel.as_view(), name="run-cancel"),
    path("api/runs/<str:run_id>/events", injections.RunEvents.as_view(), name="run-events"),
    path("api/runs/<str:run_id>/signals", injections.RunSignals.as_view(), name="run-signals"),
    path("api/runs/<str:run_id>/tokens/<path:token_id>", injections.RunTokens.as_view(), name="run-token"),
    path("api/runs/<str:run_id>/<path:suffix>", runs.UnknownSuffix.as_view(), name="run-unknown"),
]
