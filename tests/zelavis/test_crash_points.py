"""A process dies before each commit of each verb, for real; whoever comes after ends or restores what it began."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server import ROOT, environment
from tests.services import PostgreSQL
from tests.zelavis.crashes import VERBS

#: Verb → what serves when it is through.
AFTER = {"install": "1.0.0", "update": "1.1.0", "rollback": "1.0.0", "uninstall": ""}


def deaths(folder: Path, *, url: str = "", where: str = "here") -> list[dict[str, Any]]:
    """One line for every place at which a process was killed."""
    variables = {"ZELAVIS_LOG_LEVEL": "ERROR"}
    if url:
        variables |= {
            "ZELAVIS_DATABASE_URL": url, "ZELAVIS_BROKER_URL": "redis://127.0.0.1:1/0",
            "ZELAVIS_SECRET_KEY": "the same key in all processes, long enough", "ZELAVIS_ALLOWED_HOSTS": "localhost",
        }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.zelavis.crashes", str(folder), url, where],
        cwd=ROOT, env={**environment(folder / "data"), **variables}, capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def judge(told: list[dict[str, Any]], verb: str) -> None:
    """Either the intent never was, and all is as before; or it came to its end, once, after the lease of the dead."""
    places = [one for one in told if one["verb"] == verb]
    assert len(places) == places[0]["of"] > 5
    for one in places:
        state = one["state"]
        assert one["signal"] == signal.SIGKILL, one
        assert "error" not in state, one
        assert (state["early"], state["unfinished"], state["twice"]) == (0, 0, []), one
        began = state["newest"][:1] == [verb]
        assert state["serves"] == (AFTER[verb] if began else VERBS[verb]), one
        if began:
            assert state["newest"][1] == ("inactive" if verb == "uninstall" else "active"), one
            assert state["states"][2] == ("inactive" if verb == "uninstall" else "active"), one
        if verb == "uninstall" and began:
            assert state["kv"] == {}, one
        else:
            # What a handler stored stands as often as the ledger says that it ran.
            assert int(state["kv"].get("activations", 0)) == state["activates"], one
        # A worker hears only of what was recorded before, and again only under the same id, which it does once.
        assert {message for message, _ in one["asked"]["all"]} <= set(state["ids"]), one
        assert len(set(map(tuple, one["asked"]["all"]))) <= 1, one
    assert any(one["state"]["newest"][:1] == [verb] for one in places)


@pytest.mark.chaos
def test_a_death_before_any_commit_is_made_good(tmp_path: Path) -> None:
    """In the sandbox, on SQLite: every place of install, update, roll back and uninstall with its data."""
    told = deaths(tmp_path)
    for verb in VERBS:
        judge(told, verb)


@pytest.mark.chaos
def test_a_death_around_a_request_to_a_worker_is_made_good(tmp_path: Path) -> None:
    """Before the request and after its answer too: the worker is asked again under the same id."""
    told = deaths(tmp_path, where="worker")
    for verb in VERBS:
        judge(told, verb)
        lost = [one for one in told if (one["verb"], one["what"]) == (verb, "sent")]
        assert lost
        for one in lost:
            assert len(one["asked"]["before"]) == 1
            assert one["asked"]["all"] == one["asked"]["before"] * 2


@pytest.mark.postgresql
@pytest.mark.chaos
@pytest.mark.parametrize("where", ["here", "worker"])
def test_a_death_on_postgresql_is_made_good(postgresql_server: PostgreSQL, tmp_path: Path, where: str) -> None:
    """The same places on PostgreSQL, whose server goes on when its client dies."""
    told = deaths(tmp_path, url=postgresql_server.url, where=where)
    for verb in VERBS:
        judge(told, verb)
