"""A process dies before each commit of each verb, for real; whoever comes after ends or restores what it began."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.server import ROOT, environment
from tests.zelavis.crashes import VERBS

#: Verb → what serves when it is through.
AFTER = {"install": "1.0.0", "update": "1.1.0", "rollback": "1.0.0", "uninstall": ""}


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """One line for every place at which a process was killed."""
    folder = tmp_path_factory.mktemp("crashes")
    done = subprocess.run(
        [sys.executable, "-m", "tests.zelavis.crashes", str(folder)],
        cwd=ROOT, env={**environment(folder / "data"), "ZELAVIS_LOG_LEVEL": "ERROR"}, capture_output=True, text=True,
        timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.chaos
@pytest.mark.parametrize("verb", list(VERBS))
def test_a_death_before_any_commit_is_made_good(deaths: list[dict[str, Any]], verb: str) -> None:
    """Either the intent never was, and all is as before; or it comes to its end, once, after the lease of the dead."""
    places = [one for one in deaths if one["verb"] == verb]
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
    assert any(one["state"]["newest"][:1] == [verb] for one in places)
