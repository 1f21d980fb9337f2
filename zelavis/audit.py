"""The audit log: who did what to what, why, and what changed. Append only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps

from zelavis import identifiers
from zelavis.logs import request_id


def record(action: str, *, target: str, actor: str, reason: str = "", changes: Mapping[str, Any] | None = None) -> None:
    """Write one row, in the caller's transaction.

    Args:
        action: dotted verb, ``release.approve``.
        target: what it was done to, ``release:word-count@1.0.0``.
        actor: ``user:name``, ``token:name`` or ``system``. See :func:`actor_of`.
        reason: as given by the actor.
        changes: ``{"field": [before, after]}``.
    """
    events().create(
        id=identifiers.make("aud"),
        action=action,
        target=target,
        actor=actor,
        reason=reason,
        changes=dict(changes or {}),
        request_id=request_id.get(),
    )


def events() -> Any:
    """The manager of the log's rows (``zelavis.models.AuditEvent``), newest first, for whoever reads them."""
    # Looked up by name: this module stands below the models of the core and is used by every app.
    return apps.get_model("zelavis", "AuditEvent").objects


def actor_of(request: Any) -> str:
    """The audit name of whoever sent a request: a token before a user, ``anonymous`` for neither."""
    token = getattr(request, "auth", None)
    if token is not None:
        return f"token:{token.name}"
    user = getattr(request, "user", None)
    if user is not None and getattr(user, "is_authenticated", False):
        return f"user:{user.get_username()}"
    return "anonymous"
