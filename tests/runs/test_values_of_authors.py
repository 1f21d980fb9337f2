"""Values that an author's body gives and nothing can keep: the body fails, not the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from runs import protocol
from runs.authoring import Retries
from tests.runs.conftest import run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "act",
    [
        lambda context: context.sleep(1e16),
        lambda context: context.sleep(float("inf")),
        lambda context: context.sleep(float("nan")),
        lambda context: context.wait_for_event("e", timeout=1e16),
        lambda context: context.metadata.set("n", object()),
        lambda context: context.metadata.set("n", float("nan")),
        lambda context: context.metadata.append("n", "\ud800"),
        lambda context: context.metadata.increment("n", float("inf")),
        lambda context: context.invoke("greet", {"at": timedelta(1)}),
        lambda context: context.invoke("greet", tags=[object()]),
        lambda context: context.invoke("w" * 201),
        lambda context: context.wait_for_event("e" * 400),
        lambda context: context.wait_for_event(""),
        lambda context: context.wait_for_signal("a\x00"),
        lambda context: context.token("t" * 400).wait(),
        lambda context: context.stream("s" * 401, [1]),
        lambda context: context.stream("s\x00", [1]),
        lambda context: context.step("n" * 400, lambda: 1 // 0, retries=Retries()),
    ],
)
def test_what_cannot_be_kept_fails_the_body(workflow: Any, act: Callable[[Any], Any]) -> None:
    """The run is failed with the author's error at once, and is not driven again and again."""
    workflow("odd")(lambda context, given: act(context))
    record = run("odd")
    assert record["status"] == "failed"
    assert record["error"]["category"] == "USER_ERROR"
    assert record["invocationCount"] == 1


def test_metadata_is_as_it_was_when_given(workflow: Any) -> None:
    """What a body does to a list after it noted it does not change the note."""

    @workflow("notes")
    def body(context: Any, given: Any) -> None:
        noted = [1]
        context.metadata.set("n", noted)
        noted.append(2)

    assert run("notes")["journal"]["metadataState"] == {"n": [1]}


@pytest.mark.parametrize("pair", [(1e308, 1e308), (0.5, 10**400), (1, 10**400), (-1e308, -1e308)])
def test_a_sum_beyond_numbers_is_null(pair: tuple[float, float]) -> None:
    """An increment that leaves the range of numbers gives null, as the tenants' language writes it, and no error."""
    updates = [{"op": "increment", "key": "n", "value": value} for value in pair]
    assert protocol.apply_updates({}, updates) == {"n": None}
    assert protocol.apply_updates({}, [*updates, {"op": "increment", "key": "n"}]) == {"n": 1}
