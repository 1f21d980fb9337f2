"""What the description promises, a server keeps: Schemathesis makes requests from it, good and bad ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import ROOT, Server, environment, running

pytestmark = pytest.mark.slow
#: Requests of each kind for one operation; STORM=200 is a long look by hand.
EXAMPLES = os.environ.get("STORM", "15")
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.settings"}
#: Streams stay open. Durable runs answer methods that they do not take with 400 or 404, as the seed's clients expect.
CONFIG = """
seed = 20261121
[[operations]]
include-path-regex = "stream$"
enabled = false
[[operations]]
include-path-regex = "^/api/(runs|events|manifests|schedules)"
checks.unsupported_method.enabled = false
# Whatever is well-formed is taken: 422 is said of what is, and cannot be done. In the operations below the description
# allows more than the server takes, and only the error says so:
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "413", "422", "429", "5xx"]
# Seeds' bodies are described as open objects, whose texts may not be empty, and environments as texts.
[[operations]]
include-path-regex = "^/api/(runs|events|manifests|schedules)"
checks.positive_data_acceptance.enabled = false
# The event is judged by the schema of the hook that the path names.
[[operations]]
include-path = "/api/hooks/{name}"
checks.positive_data_acceptance.enabled = false
# What the path's verb, or one member, says decides whether another is needed.
[[operations]]
include-path-regex = "/(state|releases/.*[{]verb[}])$"
checks.positive_data_acceptance.enabled = false
# A URL has rules beyond the format; a worker's secret has a least length.
[[operations]]
include-path-regex = "^/api/(marketplace/publishers|namespaces/[{]namespace[}]/workers.*)$"
checks.positive_data_acceptance.enabled = false
"""
#: Of texts that are drawn at random no description says enough: a cursor that no list gave out, a NUL, only blanks. So
#: whether all good requests are taken is asked in the phase that goes through the description systematically.
#: No ``--checks all`` beside it: on the command line that would switch on again what CONFIG switches off.
LEFT_OUT = {"coverage": [], "fuzzing": ["--exclude-checks", "positive_data_acceptance"]}
LEFT_OUT["stateful"] = LEFT_OUT["fuzzing"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with something of everything in it."""
    data = tmp_path_factory.mktemp("storm")
    with running(data, **SETTINGS) as started:
        crowd(data)
        yield started


def crowd(data: Path) -> None:
    """Fill a server's data directory."""
    command = [sys.executable, "-m", "tests.acceptance.crowd"]
    subprocess.run(command, cwd=ROOT, env=environment(data, **SETTINGS), check=True, capture_output=True)


@pytest.mark.parametrize("phase", ["coverage", "fuzzing", "stateful"])
def test_the_server_keeps_what_it_promises(server: Server, phase: str, tmp_path: Path) -> None:
    """No 5xx, no status, type, header or body that is not described, no bad request is taken for a good
    one, and no good one for a bad one (where the description can say which is which)."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
        *(f"{server.url}/api/schema?format=json", "--header", f"Authorization: Bearer {server.token}"),
        *("--phases", phase, "--max-examples", EXAMPLES, *LEFT_OUT[phase]),
        *("--request-timeout", "30", "--no-color", "--max-redirects", "0"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
