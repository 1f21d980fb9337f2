"""What happens by itself: audits under new rules (G03), examples, abandoned uploads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from marketplace import demo, reaudit, upkeep, uploads
from marketplace.audit import run
from marketplace.models import Blob, CheckResult, Release, Upload
from tests.marketplace import kit

pytestmark = pytest.mark.django_db


def test_new_rules_look_at_the_catalogue_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """When rules change, live releases are audited again; an approved one stays, with what is found beside it."""
    from marketplace.audit.base import ERROR, Family, Found, Rule

    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator())
    kit.submitted(owner, version="1.1.0")
    rule = Rule(id="licence.new", severity=ERROR, text="", example="", advice="")
    strict = Family(name="licence", text="", rules=(rule,), check=lambda _: iter([Found(rule=rule, message="No.")]))
    families = (*run.FAMILIES[:-1], strict)
    audit = run.audit
    monkeypatch.setattr(run, "audit", lambda subject: audit(subject, families=families))
    monkeypatch.setattr(run, "rules_version", lambda: "new")
    monkeypatch.setattr(upkeep, "rules_version", lambda: "new")
    assert upkeep.seconds_until_next() == 0
    assert reaudit.sweep(most=1) == 1
    assert reaudit.sweep() == 1
    upkeep.run()
    assert upkeep.seconds_until_next() is None
    release.refresh_from_db()
    assert (release.state, release.audit_state, release.audited_digest) == ("approved", "failed", release.digest)
    waiting = Release.objects.get(version="1.1.0")
    assert (waiting.state, waiting.audit_state, waiting.audited_digest) == ("submitted", "failed", "")
    assert CheckResult.objects.filter(release=release, family="licence").count() == 2


def test_g03_the_sweep_never_promotes() -> None:
    """G03: auditing again, however often, changes no state; damaged bytes become a failed audit, not a pass."""
    _, owner = kit.publisher()
    release = kit.submitted(owner)
    Release.objects.update(audit_rules="old", audit_state="inconclusive", audited_digest="")
    for _ in range(2):
        reaudit.sweep()
    release.refresh_from_db()
    assert (release.state, release.audit_state) == ("submitted", "passed")
    Release.objects.update(audit_rules="old")
    Blob.objects.filter(digest=release.digest).update(content=b"x")
    reaudit.sweep()
    release.refresh_from_db()
    assert (release.state, release.audit_state) == ("submitted", "failed")


def test_the_examples_are_submitted_once(root: Path) -> None:
    """The example plugins pass the audit, wait for review, and are not submitted twice."""
    made = demo.seed(actor="system")
    assert {"word-count", "hostile-loop"} <= {release.plugin.name for release in made}
    assert {release.state for release in made} == {"submitted"}
    assert {release.audit_state for release in made} == {"passed"}
    assert demo.seed(actor="system") == []


def test_abandoned_uploads_go() -> None:
    """An upload that nobody finished is deleted with its pieces after a day."""
    _, owner = kit.publisher()
    now = timezone.now()
    begun = uploads.begin("save-count", publisher="acme", size=9, digest="0" * 64, actor=owner, now=now)
    uploads.append(begun, offset=0, content=b"abc")
    assert uploads.drop_expired(now=now) == 0
    assert uploads.drop_expired(now=now + timedelta(hours=25)) == 1
    assert not Upload.objects.exists()


def test_nothing_of_a_bundle_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From intake to approval nothing compiles, deploys or executes: a bundle of an endless loop is just text."""
    import sandbox.compiler
    import sandbox.host

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("executed")

    monkeypatch.setattr(sandbox.host, "execute", never)
    monkeypatch.setattr(sandbox.compiler, "deploy", never)
    _, owner = kit.publisher()
    release = kit.approved(owner, kit.curator(), {"plugin.mjs": kit.SOURCE + b"\nfor(;;){}\n"})
    assert release.state == "approved"
