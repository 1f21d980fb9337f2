"""The HTTP routes of durable runs."""

from __future__ import annotations

from django.urls import include, path

from runs.api import base, injections, questions, reading, runs, steering

# What is no route below the seed's own paths: there a client of the seed may ask for anything.
_NOWHERE = ["api/schedules"]
for _prefix in ("api/runs/", "api/manifests/", "api/events/", "api/schedules/"):
    _NOWHERE += [_prefix, f"{_prefix}<path:suffix>"]

urlpatterns = [
    path("", include("runs.api.manifest_urls")),
    path("tokens/<str:signed>/", questions.question, name="run-question"),
    path("api/runs", runs.RunList.as_view(), name="runs"),
    path("api/runs/stream", reading.RunsStream.as_view(), name="runs-stream"),
    path("api/runs/bulk", steering.RunsBulk.as_view(), name="runs-bulk"),
    path("api/runs/<str:run_id>", runs.RunDetail.as_view(), name="run"),
    path("api/runs/<str:run_id>/resume", runs.RunResume.as_view(), name="run-resume"),
    path("api/runs/<str:run_id>/cancel", runs.RunCancel.as_view(), name="run-cancel"),
    path("api/runs/<str:run_id>/events", injections.RunEvents.as_view(), name="run-events"),
    path("api/runs/<str:run_id>/signals", injections.RunSignals.as_view(), name="run-signals"),
    path("api/runs/<str:run_id>/tokens/<path:token_id>", injections.RunTokens.as_view(), name="run-token"),
    path("api/runs/<str:run_id>/journal", reading.RunJournal.as_view(), name="run-journal"),
    path("api/runs/<str:run_id>/timeline", reading.RunTimeline.as_view(), name="run-timeline"),
    path("api/runs/<str:run_id>/why", reading.RunWhy.as_view(), name="run-why"),
    path("api/runs/<str:run_id>/receipts", reading.RunReceipts.as_view(), name="run-receipts"),
    path("api/runs/<str:run_id>/stream", reading.RunStream.as_view(), name="run-stream"),
    path("api/runs/<str:run_id>/links", questions.RunLinks.as_view(), name="run-links"),
    path("api/runs/<str:run_id>/pause", steering.RunPause.as_view(), name="run-pause"),
    path("api/runs/<str:run_id>/unpause", steering.RunUnpause.as_view(), name="run-unpause"),
    path("api/runs/<str:run_id>/wake", steering.RunWake.as_view(), name="run-wake"),
    path("api/runs/<str:run_id>/<path:suffix>", runs.UnknownSuffix.as_view(), name="run-unknown"),
    *(path(route, base.Nowhere.as_view(), name="run-nowhere") for route in _NOWHERE),
]
