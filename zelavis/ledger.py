"""The ledger of calls: what the sandbox wrote of its own, and rows for calls that ran in a worker elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db.models import Model

#: A result longer than this is kept cut short.
MAX_RESULT = 16_384


def _model() -> type[Model]:
    return apps.get_model("sandbox", "Invocation")


def known(ids: Iterable[str]) -> set[str]:
    """Which of these calls already ran."""
    return set(_model()._default_manager.filter(pk__in=list(ids)).values_list("pk", flat=True))
