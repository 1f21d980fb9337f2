"""A host that did not deploy a plugin runs it all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sandbox import cache, compiler, runtime, selftest
from tests.zelavis.adapters.conftest import make_call
from tests.zelavis.releases import approved
from zelavis import activation, errors, registry
from zelavis.adapters.sandbox import SandboxAdapter
from zelavis.models import Deployment

pytestmark = pytest.mark.django_db(transaction=True)


def install(folder: Path) -> None:
    approved(folder)
    with pytest.raises(errors.ConsentRequired) as asked:
        activation.install("counter", actor="user:ann")
    attempt = activation.install("counter", actor="user:ann", consent=asked.value.members["consent"])
    assert attempt.state == "active", attempt.message


def another_host() -> None:
    """What is kept on this host is gone, in memory and on disk."""
    compiler.forget()
    # The engine's code is the host's own and takes a second to make: it stays.
    for path in cache.root().rglob("*"):
        if path.is_file() and b"javascript-engine" not in path.read_bytes()[:4096]:
            path.unlink()


def test_a_host_without_the_artifact_makes_it_from_the_release(tmp_path: Path) -> None:
    """With an empty cache the first call compiles the approved bytes again, and the calls after it do not."""
    install(tmp_path)
    entry = registry.active_entry("counter")
    assert entry is not None
    another_host()
    first = SandboxAdapter().call(entry, make_call(id="inv_first"))
    assert (first.status, first.result) == ("ok", {"version": "1.0.0", "saves": 1})
    assert compiler.load(entry.digest).digest == entry.digest


def test_the_first_call_of_a_process_has_its_whole_time(tmp_path: Path) -> None:
    """Making engine and plugin ready takes longer than a plugin's deadline, and none of its time."""
    install(tmp_path)
    entry = registry.active_entry("counter")
    assert entry is not None
    another_host()
    shutil.rmtree(cache.root())
    runtime.reset()
    selftest.verdict.cache_clear()
    first = SandboxAdapter().call(entry, make_call(id="inv_cold", deadline_ms=100))
    assert (first.status, first.error_message) == ("ok", "")
    assert first.duration_ms < 100


def test_a_roll_back_works_on_a_host_that_never_saw_the_version(tmp_path: Path) -> None:
    """Activation too loads what is not there."""
    install(tmp_path)
    approved(
        tmp_path,
        version="1.1.0",
        module="export default { hooks: { 'content:afterSave': () => 2 }, routes: { 'GET /stats': () => ({}) } };",
    )
    assert activation.update("counter", actor="user:ann").state == "active"
    another_host()
    assert activation.rollback("counter", actor="user:ann").state == "active"


def test_without_the_release_the_call_says_so(tmp_path: Path) -> None:
    """When neither artifact nor release is left the call is a host error with a code, and nothing runs."""
    install(tmp_path)
    entry = registry.active_entry("counter")
    assert entry is not None
    another_host()
    Deployment.objects.update(release="")
    outcome = SandboxAdapter().call(entry, make_call(id="inv_gone"))
    assert (outcome.status, outcome.error_code) == ("host_error", "artifact_not_found")
    shutil.rmtree(cache.root(), ignore_errors=True)
