"""The sandbox adapter with the real marketplace and the real sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.models import Invocation
from tests.zelavis.releases import MODULE, approved
from zelavis import activation, hooks, registry
from zelavis.errors import ConsentRequired
from zelavis.models import Activation

pytestmark = pytest.mark.django_db

PAGE = {"collection": "flatpages.flatpage", "id": "1", "created": False, "content": {"id": "1", "body": "one two"}}


def agreed(name: str, verb: Any = activation.install, **given: Any) -> Activation:
    """Do a verb as an operator does: look at what it asks for, then agree."""
    try:
        return verb(name, actor="user:ann", **given)
    except ConsentRequired as error:
        return verb(name, actor="user:ann", consent=error.members["consent"], **given)


def test_a_release_is_fetched_verified_inspected_compiled_and_only_then_runs(tmp_path: Path) -> None:
    """The timeline of a real install, and the first call of a real plugin."""
    approved(tmp_path)
    assert not Invocation.objects.exists()
    attempt = agreed("counter")
    assert attempt.state == "active", attempt.message
    assert list(attempt.events.values_list("step", flat=True)) == [
        "requested",
        "fetched",
        "verified",
        "inspected",
        "compiled",
        "deployed",
        "loaded",
        "plugin:install",
        "plugin:activate",
        "active",
    ]
    for number in (1, 2, 3):
        result = hooks.fire("content:afterSave", PAGE)
        assert result.outcomes[0].result == {"version": "1.0.0", "saves": number}
    assert Invocation.objects.filter(hook="content:afterSave", status="ok").count() == 3


def test_a_retry_does_not_install_again(tmp_path: Path) -> None:
    """plugin:install ran ok in the first attempt; the second runs what failed, and only that."""
    module = MODULE.replace(
        'await ctx.kv.increment("activations");', 'if (!ctx.settings.ready) throw new Error("not yet");'
    )
    approved(tmp_path, module=module)
    first = agreed("counter")
    assert (first.state, first.code) == ("failed", "lifecycle_failed")
    registry.configure("counter", actor="user:ann", settings={"ready": True})
    assert activation.retry(first.pk, actor="user:ann").state == "active"
    hooks_run = list(Invocation.objects.values_list("hook", flat=True))
    assert (hooks_run.count("plugin:install"), hooks_run.count("plugin:activate")) == (1, 2)


def test_a_changed_artifact_is_not_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not the approved ones end the attempt before anything is compiled."""
    from marketplace import releases

    approved(tmp_path)
    monkeypatch.setattr(releases, "entry_source", lambda release: b"export default {};")
    attempt = agreed("counter")
    assert attempt.state == "failed"
    assert "not the one that was approved" in attempt.message
    assert not Invocation.objects.exists()


def test_quarantine_stops_the_next_call(tmp_path: Path) -> None:
    """The marketplace's verb and the registry's pointer are one transaction."""
    from django.contrib.auth.models import User

    from marketplace import actors, curation

    release = approved(tmp_path)
    agreed("counter")
    assert hooks.fire("content:afterSave", PAGE).outcomes
    curator = actors.Actor(name="user:eve", user=User.objects.get(username="eve"))
    curation.act(release, "quarantine", actor=curator, reason="steals")
    assert hooks.fire("content:afterSave", PAGE).outcomes == []
    entry = registry.get("counter")
    assert (entry.status, entry.activation_state, entry.serving) == ("available", "inactive", None)
