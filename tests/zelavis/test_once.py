"""Once only, however few rows of the ledger an operator wants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from sandbox.models import Invocation
from tests.zelavis.releases import approved
from zelavis import activation, hooks
from zelavis.hooks import events
from zelavis.models import HookEvent

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1"}}


@pytest.mark.parametrize("wish", [{"SANDBOX_LEDGER_SAMPLE": 1_000_000}, {"SANDBOX_LEDGER": "batched"}])
def test_a_redelivered_event_runs_nobody_twice(tmp_path: Path, settings: Any, wish: dict[str, Any]) -> None:
    """The worker dies after the call and before its record: the next one finds the row that stands with the effects."""
    for name, value in wish.items():
        setattr(settings, name, value)
    approved(tmp_path)
    activation.install("counter", actor="user:a", implied=True)
    event = hooks.enqueue("content:afterSave", PAGE, source="api")
    assert event is not None
    real, events._finish = events._finish, lambda *args, **more: None
    try:
        result = events.deliver(event.pk)
    finally:
        events._finish = real
    assert result is not None
    assert result.outcomes[0].result == {"version": "1.0.0", "saves": 1}
    lease = HookEvent.objects.get().wake_at
    assert lease is not None
    again = events.deliver(event.pk, now=lease)
    assert again is not None
    assert again.outcomes == []
    assert HookEvent.objects.get().state == "done"
    assert hooks.fire("content:afterSave", PAGE).outcomes[0].result == {"version": "1.0.0", "saves": 2}


def test_before_hooks_are_sampled_as_the_operator_wants(tmp_path: Path, settings: Any) -> None:
    """Nobody asks again for a before-hook or a route: those rows are what a sample leaves out."""
    settings.SANDBOX_LEDGER_SAMPLE = 1_000_000
    approved(
        tmp_path,
        module='export default { hooks: { "content:beforeSave": async () => null } };',
        hooks=[{"name": "content:beforeSave"}], routes=[], capabilities={},
    )  # fmt: skip
    activation.install("counter", actor="user:a", implied=True)
    before = Invocation.objects.count()
    assert hooks.fire("content:beforeSave", PAGE, now=timezone.now()).outcomes[0].status == "ok"
    assert Invocation.objects.count() == before
