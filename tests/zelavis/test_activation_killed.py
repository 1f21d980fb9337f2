"""A process is killed in the middle of an activation, for real; another one goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server import ROOT, environment

_BEFORE = """
import os, signal, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from pathlib import Path
from tests.zelavis.releases import approved
from zelavis import activation, hooks, registry
from zelavis.activation import drive, records
from zelavis.adapters.sandbox import SandboxAdapter

PAGE = {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1"}}
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
approved(Path(sys.argv[1]))
"""
_PLACES = {
    "after the intent": "drive.go = die; from zelavis.activation import intents; intents.drive.go = die",
    "while it compiles": "from sandbox import compiler; compiler.deploy = die",
    "after it was deployed": "records.deployed = die; drive.records.deployed = die",
    "while it is asked": "SandboxAdapter._lifecycle = die",
    "before active is recorded": "records.succeeded = die; drive.records.succeeded = die",
}
_INSTALL = "\nactivation.install('counter', actor='user:a', implied=True)\n"
_AFTER = """
import os, json, django
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
django.setup()
from zelavis import activation, hooks, registry
from zelavis.models import Activation
from sandbox.models import Invocation
row = Activation.objects.get()
before = (row.state, registry.active_entry("counter") is None)
swept_early = activation.sweep()
swept = activation.sweep(now=row.wake_at)
row.refresh_from_db()
page = {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1"}}
print(json.dumps({
    "before": before, "early": swept_early, "swept": swept, "state": row.state,
    "steps": list(row.events.values_list("step", flat=True)),
    "hooks": list(Invocation.objects.values_list("hook", flat=True)),
    "outcomes": [one.status for one in hooks.fire("content:afterSave", page).outcomes],
}))
"""


def run(code: str, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, env={**environment(data), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.chaos
@pytest.mark.parametrize("place", list(_PLACES))
def test_a_killed_activation_is_finished_by_another_process(tmp_path: Path, place: str) -> None:
    """Nothing serves before it is proven, the lease keeps others away, and after it the attempt ends active, once."""
    killed = run(_BEFORE + _PLACES[place] + _INSTALL, tmp_path / "data", str(tmp_path))
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    followed = run(_AFTER, tmp_path / "data")
    assert followed.returncode == 0, followed.stderr[-2000:]
    told: dict[str, Any] = json.loads(followed.stdout.splitlines()[-1])
    assert told["before"][1] is True
    assert (told["early"], told["swept"], told["state"]) == (0, 1, "active")
    assert "resumed" in told["steps"]
    assert told["outcomes"] == ["ok"]
    assert (told["hooks"].count("plugin:install"), told["hooks"].count("plugin:activate")) == (1, 1)
