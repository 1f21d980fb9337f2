"""The sandbox adapter with the real marketplace and the real sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.models import Invocation
from tests.zelavis.releases import approved
from zelavis import activation, hooks
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
