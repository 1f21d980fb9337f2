"""The core's HTTP routes."""

from __future__ import annotations

from django.urls import path

from zelavis.api import (
    activations,
    health,
    hooks,
    invocations,
    metrics,
    plugins,
    receiver,
    routes,
    standing,
    updates,
    workers,
)
from zelavis.api.schema import SchemaView

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.Metrics.as_view(), name="metrics"),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/plugins", plugins.Plugins.as_view(), name="plugins"),
    path("api/plugins/<str:name>", plugins.Plugin.as_view(), name="plugin"),
    path("api/plugins/<str:name>/install", plugins.Install.as_view(), name="plugin-install"),
    path("api/plugins/<str:name>/update", plugins.Update.as_view(), name="plugin-update"),
    path("api/plugins/<str:name>/rollback", plugins.Rollback.as_view(), name="plugin-rollback"),
    path("api/plugins/<str:name>/uninstall", plugins.Uninstall.as_view(), name="plugin-uninstall"),
    path("api/plugins/<str:name>/activate", plugins.Activate.as_view(), name="plugin-activate"),
    path("api/plugins/<str:name>/promote", standing.Promote.as_view(), name="plugin-promote"),
    path("api/plugins/<str:name>/block", standing.Block.as_view(), name="plugin-block"),
    path("api/plugins/<str:name>/unblock", standing.Unblock.as_view(), name="plugin-unblock"),
    path("api/plugins/<str:name>/activations", activations.PluginActivations.as_view(), name="plugin-activations"),
    path("api/plugins/<str:name>/breaker", plugins.Breaker.as_view(), name="plugin-breaker"),
    path("api/updates", updates.Updates.as_view(), name="updates"),
    path("api/breakers", plugins.Breakers.as_view(), name="breakers"),
    path("api/activations", activations.Activations.as_view(), name="activations"),
    path("api/activations/<str:activation_id>", activations.ActivationDetail.as_view(), name="activation"),
    path("api/activations/<str:activation_id>/retry", activations.Retry.as_view(), name="activation-retry"),
    path("api/adapters", activations.Adapters.as_view(), name="adapters"),
    path("api/namespaces", workers.Namespaces.as_view(), name="namespaces"),
    path("api/namespaces/<str:namespace>", workers.Namespace.as_view(), name="namespace"),
    path("api/namespaces/<str:namespace>/workers", workers.Workers.as_view(), name="workers"),
    path("api/namespaces/<str:namespace>/workers/<str:name>", workers.Worker.as_view(), name="worker"),
    path(
        "api/namespaces/<str:namespace>/workers/<str:name>/rotate", workers.Rotation.as_view(), name="worker-rotation"
    ),
    path("api/invocations", invocations.Invocations.as_view(), name="invocations"),
    path("api/invocations/<str:invocation_id>", invocations.InvocationDetail.as_view(), name="invocation"),
    path("api/hooks", hooks.Hooks.as_view(), name="hooks"),
    path("api/hooks/events", hooks.Events.as_view(), name="hook-events"),
    path("api/hooks/<str:name>", hooks.Hook.as_view(), name="hook"),
    path("plugins/<str:name>/", routes.plugin_route, name="plugin-root"),
    path("plugins/<str:name>/<path:path>", routes.plugin_route, name="plugin-route"),
    path("__zelavis/plugin/activate", receiver.activate, name="receiver-activate"),
]
