"""The registry: revisions, compare-and-set, strict reading."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.conf import settings

from tests.zelavis.plugs import ScriptedAdapter, serve
from zelavis import registry
from zelavis.errors import (
    InvalidSettings,
    PluginExists,
    PluginInstalled,
    PreconditionFailed,
    RegistryContended,
    RegistryMalformed,
    UnknownPlugin,
)
from zelavis.models import Deployment, PluginEntry, Registry

pytestmark = pytest.mark.django_db


def test_every_change_raises_the_revision_and_draws_a_new_nonce() -> None:
    """Two changes are two revisions with two nonces, so A→B→A is never taken for A."""
    registry.register("alpha", actor="user:a")
    first = registry.revision()
    registry.configure("alpha", actor="user:a", order=1)
    registry.configure("alpha", actor="user:a", clear_order=True)
    second = registry.revision()
    assert (first[0], second[0]) == (1, 3)
    assert first[1] != second[1]


def test_a_name_is_taken_once() -> None:
    """A second entry of the same name is refused and the revision stays."""
    registry.register("alpha", actor="user:a")
    with pytest.raises(PluginExists):
        registry.register("alpha", actor="user:a")
    assert registry.revision()[0] == 1


def test_a_writer_that_lost_works_on_the_fresh_state() -> None:
    """A change that finds another revision than it saw runs again on what is there now; nothing is lost."""
    registry.register("alpha", actor="user:a")
    entry = PluginEntry.objects.get(name="alpha")
    runs = []

    def mutate() -> int:
        runs.append(1)
        fresh = PluginEntry.objects.get(pk=entry.pk)
        registry.touch(fresh, order=(fresh.order or 0) + 1)
        return fresh.order or 0

    real = registry.revision
    stale = [real()]
    registry.configure("alpha", actor="user:b", order=10)
    registry.revision = lambda: stale.pop() if stale else real()  # type: ignore[assignment]
    try:
        assert registry.change(mutate) == 11
    finally:
        registry.revision = real
    assert runs == [1]


def test_a_registry_that_changes_each_time_is_a_conflict_after_eight_tries() -> None:
    """Exactly eight attempts, then 409 and nothing changed."""
    registry.register("alpha", actor="user:a")
    real, seen = registry.revision, []

    def always_old() -> tuple[int, str]:
        seen.append(1)
        return (real()[0] + 100, "")

    registry.revision = always_old  # type: ignore[assignment]
    try:
        with pytest.raises(RegistryContended):
            registry.change(lambda: pytest.fail("ran on a state that was never there"))
    finally:
        registry.revision = real
    assert len(seen) == registry.ATTEMPTS == 8


def test_what_a_change_raises_leaves_everything_as_it_was() -> None:
    """The revision and the rows go back together."""
    registry.register("alpha", actor="user:a")

    def mutate() -> None:
        PluginEntry.objects.filter(name="alpha").update(order=5)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        registry.change(mutate)
    assert PluginEntry.objects.get(name="alpha").order is None
    assert registry.revision()[0] == 1


def test_a_change_for_an_old_revision_is_refused() -> None:
    """``expected`` is the only revision from which a change may happen."""
    registry.register("alpha", actor="user:a")
    with pytest.raises(PreconditionFailed):
        registry.change(lambda: None, expected=0)


def test_listeners_come_by_registry_order_then_hook_order_then_name(scripted: ScriptedAdapter) -> None:
    """The operator's order wins; entries without one come last; ties go by the manifest's order, then by name."""
    serve("zeta", hooks=["content:afterSave"], order=1)
    serve("beta", hooks=[{"name": "content:afterSave", "order": 5}])
    serve("alpha", hooks=[{"name": "content:afterSave", "order": 9}])
    serve("gamma", hooks=[{"name": "content:afterSave", "order": 5}])
    serve("other", hooks=["user:created"])
    assert [entry.name for entry in registry.active_for_hook("content:afterSave")] == ["zeta", "beta", "gamma", "alpha"]


def test_a_change_is_seen_at_the_next_call(scripted: ScriptedAdapter) -> None:
    """A snapshot is held only as long as its revision and nonce stand."""
    serve("alpha", hooks=["content:afterSave"])
    assert registry.active_entry("alpha") is not None
    entry = PluginEntry.objects.get(name="alpha")
    registry.change(lambda: registry.touch(entry, serving=None, activation_state="inactive"))
    assert registry.active_entry("alpha") is None


@pytest.mark.parametrize(
    "damage",
    [
        {"manifest": "{"},
        {"manifest": "[]"},
        {"manifest": json.dumps({"hooks": {}})},
        {"manifest": json.dumps({"hooks": [{"name": 4}]})},
        {"manifest": json.dumps({"hooks": [{"name": "cron", "onError": "maybe"}]})},
        {"manifest": json.dumps({"routes": [{"path": "stats"}]})},
        {"grants": "null"},
        {"grants": json.dumps({"kv": True})},
        {"proven_by": ""},
    ],
)
def test_a_stored_entry_that_cannot_be_understood_closes_the_registry(
    scripted: ScriptedAdapter, damage: dict[str, str]
) -> None:
    """Nothing of a registry runs of which one part is not known: a validator must not be left out in silence."""
    serve("alpha", hooks=["content:beforeSave"])
    serve("beta", hooks=["content:beforeSave"])
    Deployment.objects.filter(entry__name="alpha").update(**damage)
    registry.forget_snapshot()
    with pytest.raises(RegistryMalformed):
        registry.active_for_hook("content:beforeSave")


def test_a_blocked_plugin_does_not_serve(scripted: ScriptedAdapter) -> None:
    """A block is enforced where listeners are read, whatever the other states say."""
    serve("alpha", hooks=["content:afterSave"])
    PluginEntry.objects.update(blocked="quarantined")
    registry.forget_snapshot()
    assert registry.active_for_hook("content:afterSave") == []


def test_settings_are_checked_under_the_manifests_schema(scripted: ScriptedAdapter) -> None:
    """Settings that the plugin's schema refuses change nothing and say where the fault is."""
    schema = {"type": "object", "properties": {"limit": {"type": "integer"}}, "additionalProperties": False}
    serve("alpha", settings=schema)
    with pytest.raises(InvalidSettings, match="settings/limit"):
        registry.configure("alpha", actor="user:a", settings={"limit": "many"})
    registry.configure("alpha", actor="user:a", settings={"limit": 3})
    found = registry.active_entry("alpha")
    assert found is not None
    assert found.settings == {"limit": 3}


def test_an_entry_at_another_revision_is_not_changed() -> None:
    """If-Match is honoured inside the transaction."""
    registry.register("alpha", actor="user:a")
    registry.configure("alpha", actor="user:a", order=1, expected=1)
    with pytest.raises(PreconditionFailed):
        registry.configure("alpha", actor="user:a", order=2, expected=1)
    assert registry.get("alpha").order == 1


def test_only_an_uninstalled_plugin_can_be_removed(scripted: ScriptedAdapter) -> None:
    """Removing needs an uninstall first; an unknown name is a 404."""
    serve("alpha")
    with pytest.raises(PluginInstalled):
        registry.remove("alpha", actor="user:a")
    registry.register("beta", actor="user:a")
    registry.remove("beta", actor="user:a")
    with pytest.raises(UnknownPlugin):
        registry.get("beta")


_WRITER = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
django.setup()
from zelavis import registry
from zelavis.models import PluginEntry
for number in range(25):
    def mutate():
        entry = PluginEntry.objects.get(name="alpha")
        registry.touch(entry, order=entry.order + 1)
    registry.change(mutate)
"""

_READER = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
django.setup()
from zelavis import registry
print(registry.get("alpha").order, registry.revision()[0])
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_lose_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Fifty increments from two processes at once end at fifty, each in a revision of its own."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "ZELAVIS_DATA_DIR": str(tmp_path),
        "ZELAVIS_SECRET_KEY": "k" * 40,
        "PYTHONPATH": str(settings.BASE_DIR),
    }
    prepare = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE']='zelavis.settings'; django.setup();"
        "from django.core.management import call_command; call_command('migrate', verbosity=0);"
        "from zelavis import registry; registry.register('alpha', actor='t', order=0)"
    )
    subprocess.run([sys.executable, "-c", prepare], env=environ, check=True, cwd=settings.BASE_DIR)
    both = [subprocess.Popen([sys.executable, "-c", _WRITER], env=environ, cwd=settings.BASE_DIR) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            _READER,
        ],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        cwd=settings.BASE_DIR,
    )
    assert told.stdout.split() == ["50", "51"]


def test_the_registry_row_is_made_by_the_first_change() -> None:
    """An installation without a change has revision 0 and no row."""
    assert registry.revision() == (0, "")
    registry.register("alpha", actor="user:a")
    assert Registry.objects.count() == 1
