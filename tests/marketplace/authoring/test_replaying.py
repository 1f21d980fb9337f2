"""Releases on which a tape can be replayed before anybody installed them."""

from __future__ import annotations

import pytest

from marketplace.authoring import replaying
from sandbox import tape
from tests.marketplace import kit

pytestmark = pytest.mark.django_db


def test_approved_releases_are_offered() -> None:
    """Approved releases of the plugin are offered, newest first, and deploy by themselves; a submitted one is not."""
    _, owner = kit.publisher()
    by = kit.curator()
    first = kit.approved(owner, by)
    name = first.plugin.name
    second = kit.approved(owner, by, version="1.1.0")
    kit.submitted(owner, version="1.2.0")
    assert replaying.offered in tape.RELEASES
    found = replaying.offered(name)
    assert [one.version for one in found] == [second.version, first.version]
    assert [one.deploy().digest for one in found] == [second.entry_digest, first.entry_digest]
    assert set(tape.others(name)) == {first.entry_digest, second.entry_digest}
    assert replaying.offered("another") == []
