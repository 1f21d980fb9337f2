"""The engine against a small model: whatever is done in whatever order, both say the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from runs.dispatchers.inline import InlineDispatcher
from tests.runs import machine


def compare(workflow: Any, monkeypatch: Any, *, examples: int, **more: Any) -> None:
    """Run the machine; an assertion is raised where engine and model differ."""
    made_known(workflow, monkeypatch)
    run_state_machine_as_test(
        machine.Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            **more,
        ),
    )


def made_known(workflow: Any, monkeypatch: Any) -> None:
    """The machine's workflows, and a tenant that can be away."""
    workflow("model")(machine.program)
    workflow("model-child")(lambda context, given: context.step("c", lambda: "grown"))
    workflow("model-parked")(lambda context, given: f"grown {context.wait_for_event('grow')}")
    monkeypatch.setattr(InlineDispatcher, "dispatch", machine.faulty(InlineDispatcher.dispatch))


@pytest.mark.django_db
def test_a_run_taken_over_at_the_commit_of_its_claim_goes_on(workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm's driver stands still right after its claim, another takes the run and ends it."""
    made_known(workflow, monkeypatch)
    state = machine.Machine()
    state.trigger(operations=[("sleep",)], point=0, how="die")
    state.alarm(how="claimed", point=1)
    state.the_same()


@pytest.mark.django_db
def test_the_engine_does_what_the_model_says(workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers, injections early, late, repeated and in the middle of a drive, alarms, pauses, cancels, resumes,
    children, a tenant that is away, and deaths and take-overs at every commit agree with the model."""
    # On PostgreSQL an example takes many times as long, most of it for commits.
    compare(workflow, monkeypatch, examples=60 if connection.vendor == "sqlite" else 15)


@pytest.mark.slow
@pytest.mark.django_db
def test_the_engine_does_what_the_model_says_for_long(workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with more examples and without shrinking time spent when it holds."""
    compare(workflow, monkeypatch, examples=400, phases=[Phase.generate, Phase.shrink])
