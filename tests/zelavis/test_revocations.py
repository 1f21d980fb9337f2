"""What a running call loses when its plugin is stopped."""

from __future__ import annotations

import pytest

from sandbox.call import Call
from sandbox.capabilities import registry as capabilities
from zelavis import revocations
from zelavis.models import PluginEntry

pytestmark = pytest.mark.django_db


def call(hook: str = "content:afterSave") -> Call:
    return Call(id="inv_1", plugin="some-plugin", version="1.0.0", hook=hook)


def test_a_plugin_that_serves_no_more_loses_everything() -> None:
    """D02: an entry that is not active takes every capability, but not from its lifecycle hooks."""
    PluginEntry.objects.create(name="some-plugin")
    assert set(revocations.taken(call())) == {"*"}
    assert set(revocations.taken(call("plugin:uninstall"))) == set()


def test_a_process_without_a_registry_takes_nothing() -> None:
    """A plugin that no registry here knows keeps what it was called with."""
    assert set(revocations.taken(call())) == set()


def test_the_sandbox_asks() -> None:
    """The question is registered with the sandbox when the process starts."""
    assert revocations.taken in capabilities.REVOCATIONS
