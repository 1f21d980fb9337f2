"""Two at the same time: exactly one wins, and the other is told so (G06)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from marketplace import curation, intake, popularity, rollouts
from marketplace.actors import Actor
from marketplace.errors import ReviewConflict, VersionTaken
from marketplace.models import Plugin, Release, ReviewEvent, Rollout
from tests.marketplace import kit
from zelavis.errors import ZelavisError

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # The suite's SQLite is in memory and shared between threads: it refuses where a file would wait.
    pytest.mark.skipif(connection.vendor == "sqlite", reason="runs in the PostgreSQL suite"),
]


def together(*deeds: Callable[[], Any]) -> list[Any]:
    """Do all at the same time; results, or the errors that they raised."""
    barrier, results = threading.Barrier(len(deeds)), [None] * len(deeds)

    def run(index: int, deed: Callable[[], Any]) -> None:
        try:
            barrier.wait(5)
            results[index] = deed()
        except ZelavisError as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_g06_two_curators_decide_at_once() -> None:
    """G06: of an approval and a rejection at the same moment one stands, and one curator reads of a conflict."""
    _, owner = kit.publisher()
    first, second = kit.curator("first"), kit.curator("second")
    for number in range(5):
        release = kit.submitted(owner, version=f"1.0.{number}")
        seen = {"revision": release.revision, "digest": release.digest}
        results = together(
            lambda: curation.act(release.pk, "approve", actor=first, reason="Yes.", **seen),  # noqa: B023
            lambda: curation.act(release.pk, "reject", actor=second, reason="No.", **seen),  # noqa: B023
        )
        assert sum(isinstance(result, ReviewConflict) for result in results) == 1, results
        release.refresh_from_db()
        assert release.state in ("approved", "rejected")
        assert ReviewEvent.objects.filter(release=release).count() == 2


def test_f08_two_uploads_of_one_version_at_once() -> None:
    """F08: of two submissions of one version with other bytes one stands; the same bytes answer one release."""
    _, owner = kit.publisher()
    one, two = kit.bundle(), kit.bundle({"README.md": b"# Other\n"})
    results = together(lambda: intake.submit(one, actor=owner), lambda: intake.submit(two, actor=owner))
    assert sum(isinstance(result, VersionTaken) for result in results) == 1
    again = together(*[lambda: intake.submit(kit.bundle(version="2.0.0"), actor=owner)] * 3)
    assert len({result.pk for result in again}) == 1
    assert Release.objects.count() == 2


def test_a_risky_release_is_approved_once_by_two_at_once() -> None:
    """Two approvals at the same moment make one decision, whichever comes second."""
    _, owner = kit.publisher()
    asked = {"content:write": {"reason": "Writes the number of saves down."}}
    source = kit.SOURCE.replace(b"ctx.kv.get", b"ctx.content.update")
    release = kit.submitted(owner, {"plugin.mjs": source}, capabilities={**asked, "kv": kit.KV})
    results = together(
        *[
            lambda who=who: curation.act(release.pk, "approve", actor=who, reason="Yes.")
            for who in (kit.curator("first"), kit.curator("second"))
        ]
    )
    assert sorted(result.state for result in results) == ["approved", "in_review"]
    release.refresh_from_db()
    assert (release.state, release.approvals.count()) == ("approved", 2)


def test_counts_lose_nothing() -> None:
    """Downloads and calls counted at the same time are all counted, and a rollout halts once."""
    _, owner = kit.publisher()
    cora = kit.curator()
    old, new = kit.approved(owner, cora), kit.approved(owner, cora, version="1.1.0")
    rollout = rollouts.start(new.plugin, baseline=old, candidate=new, actor="user:x", reason="Try.", percent=50)
    Rollout.objects.update(minimum_calls=4)
    halted = together(*[lambda: rollouts.count(rollout.pk, candidate=True, failed=True)] * 6)
    assert halted.count(True) == 1
    assert Rollout.objects.get().candidate_calls == 6
    addresses = [f"192.0.{n}.1" for n in range(5)] * 2
    together(*[lambda a=a: popularity.count_download(new, actor=Actor(name="anonymous"), address=a) for a in addresses])
    assert Plugin.objects.get().downloads == 5
