"""An installation on PostgreSQL and Redis gets new rules: beat notices, a worker audits the catalogue again."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import server
from tests.runs import production
from tests.server import Browser, eventually
from tests.services import PostgreSQL, Redis

pytestmark = [pytest.mark.postgresql, pytest.mark.redis]
PARTS = ("zelavis", "marketplace", "runs", "sandbox", "examples")
PASSWORD = "a password for tests only"
PREPARE = f"""
from django.contrib.auth import get_user_model
from marketplace import demo
get_user_model().objects.create_superuser("admin", "", "{PASSWORD}")
demo.seed()
"""


def stricter(folder: Path) -> Path:
    """A copy of the product in which one rule has become strict: a bundle must have a LICENSE."""
    for part in PARTS:
        shutil.copytree(server.ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(server.ROOT / "manage.py", folder)
    rules = folder / "marketplace" / "audit" / "licence_rules.py"
    text, times = re.subn(
        r'(id="licence.no-file",\s+severity=)NOTICE', r"\1ERROR", rules.read_text(encoding="utf-8"), count=1
    )
    assert times == 1
    rules.write_text(text, encoding="utf-8")
    return folder


def audits(running: production.Production, ids: dict[str, str]) -> dict[str, tuple[Any, ...]]:
    """What the API says of each release: its state, its audit, and the severities of the rule in question."""
    found = {}
    for name, release in ids.items():
        one = running.api.get(f"/api/marketplace/releases/{release}").json()
        severities = [finding["severity"] for finding in one["findings"] if finding["rule"] == "licence.no-file"]
        found[name] = (one["state"], one["auditState"], severities)
    return found


def test_new_rules_are_applied_to_the_catalogue(
    postgresql_server: PostgreSQL, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade that changes a rule, real beat and a real worker audit every live release again: findings and
    audit states change in the API and the admin, the states of the releases do not, and what is approved installs on.
    """
    data, database = tmp_path / "data", postgresql_server.database("reaudit")
    where = {"ZELAVIS_DATABASE_URL": database, "ZELAVIS_BROKER_URL": redis_server.url}
    with production.running(data, database, redis_server.url) as running:
        given = {**where, "ZELAVIS_SECRET_KEY": production.KEY, "ZELAVIS_ALLOWED_HOSTS": "127.0.0.1"}
        process = server.manage(data, "shell", "-c", PREPARE, **given)
        said = process.communicate()[0]
        assert process.returncode == 0, said
        queue = running.api.get("/api/marketplace/queue").json()["data"]
        ids = {one["plugin"]: one["id"] for one in queue}
        for name in ("word-count", "hostile-loop"):
            one = running.api.get(f"/api/marketplace/releases/{ids[name]}").json()
            body = {"reason": "Read it.", "digest": one["digest"]}
            answer = running.api.post(f"/api/marketplace/releases/{ids[name]}/approve", json=body)
            assert answer.status_code == 200, answer.text
        before = audits(running, ids)
        approved = {name for name, (state, *_) in before.items() if state == "approved"}
        assert approved == {"word-count", "hostile-loop"}
        assert all(found[1:] == ("passed", ["notice"]) for found in before.values()), before
    monkeypatch.setattr(server, "ROOT", stricter(tmp_path / "upgraded"))
    with production.running(data, database, redis_server.url) as running:
        wanted = {name: (state, "failed", ["error"]) for name, (state, *_) in before.items()}
        done: Callable[[], bool] = lambda: audits(running, ids) == wanted  # noqa: E731  what eventually takes
        eventually(done, seconds=60, what="the audit of the catalogue under the new rules")
        browser = Browser(running.url, "admin", PASSWORD)
        with contextlib.closing(browser.client):
            assert "Approved, but the rules object" in browser.get("/admin/").text
            page = browser.get(f"/admin/marketplace/release/{ids['word-count']}/change/").text
        assert "licence.no-file" in page
        assert "audited under older rules" not in page
        assert re.search(r"<dt>Audit</dt><dd>.*failed", page)
        answer = running.api.post("/api/plugins/word-count/install", json={})
        assert answer.json()["activation"]["status"] == "active", answer.text
