"""Something of everything, under the names that break layouts: long ones, right-to-left ones, huge JSON.

``fill`` works on whatever database is configured. As a program it fills the data directory of a server that runs:
``ZELAVIS_DATA_DIR=… python -m tests.acceptance.crowd``.
"""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

LONG = "a-name-as-long-as-a-name-may-be-so-that-no-list-relies-on-it"
ARABIC, EMOJI = "إضافة عدّ الكلمات", "Zähler 🧮👩🏽"
EVIL = "<script>alert(1)</script>"
REFUSES = """
export default { hooks: {
  "plugin:activate": () => { throw new Error("The index of this site has to be built first; see the README."); },
  "content:afterSave": () => null,
} };
"""
BIG = {
    "items": [{"n": n, "text": "Ein sehr langer Text. " * 6, "tags": ["a", ARABIC, EMOJI]} for n in range(160)],
    "unbroken": "x" * 900,
    "evil": EVIL,
}


def fill(folder: Path) -> dict[str, Any]:
    """Make the rows; the keys of some of them by name. ``folder`` is for bundles."""
    from django.contrib.auth.models import User

    root, _ = User.objects.get_or_create(username="root", defaults={"is_superuser": True, "is_staff": True})
    return {"root": root, **_plugins(folder), **_marketplace(root), **_records(), **_runs(), **_settings(root)}


def _plugins(folder: Path) -> dict[str, Any]:
    from django.utils import timezone

    from tests.zelavis.releases import approved
    from zelavis import activation, hooks, identifiers
    from zelavis.activation import consent
    from zelavis.models import CircuitBreaker, HookEvent, PluginEntry, Schedule

    now = timezone.now()
    asks = {
        "kv": {"reason": "Counts what is saved, and nothing else. " * 3},
        "http": {"reason": f"Asks {EMOJI} for the weather.", "hosts": ["api.example.org"]},
    }
    grown = {**asks, "content:read": {"reason": "Reads what it counts."}}
    approved(folder, name="counter", title=EMOJI, capabilities=asks, routes=[{"path": "/stats", "methods": ["GET"]}])
    approved(folder, name="refuses", module=REFUSES, title=ARABIC, routes=[])
    approved(folder, name=LONG, title="A title that says a little more than it would have to, and goes on")
    given = consent.digest(_target("counter", "1.0.0"))
    activation.install("counter", actor="user:root", version="1.0.0", consent=given, reason="We need it. " * 20)
    failed = activation.install("refuses", actor="user:root", consent=consent.digest(_target("refuses", "1.0.0")))
    later = approved(folder, name="counter", version="2.0.0-rc.20261121.nightly", title=EMOJI, capabilities=grown)
    hooks.fire("content:afterSave", {"collection": "x.y", "id": "1", "created": True, "content": {"id": "1"}})
    CircuitBreaker.objects.create(
        plugin="counter",
        failures=5,
        opened_at=now,
        retry_at=now + timedelta(minutes=5),
        trips=1,
        last_status="trap",
        last_message="unreachable executed " * 8,
        last_failed_at=now,
    )
    HookEvent.objects.create(
        id=identifiers.make("evt"),
        hook="content:afterSave",
        payload=json.dumps(BIG),
        source="api",
        actor="user:root",
        correlation="cor_" + "0" * 26,
        state="dropped",
        passes=8,
        created_at=now,
        outcomes=json.dumps([{"plugin": LONG, "status": "deadline", "durationMs": 50.1, "message": EVIL * 4}]),
    )
    entry = PluginEntry.objects.get(name="counter")
    Schedule.objects.create(entry=entry, name="nightly", cron="0 3 * * *", next_at=now + timedelta(hours=9))
    return {"entry": entry, "failed": failed, "offered": later}


def _target(name: str, version: str) -> Any:
    from zelavis.activation import targets
    from zelavis.adapters import get

    return targets.find(name, version, entry=None, adapter=get("sandbox"))


def _marketplace(root: Any) -> dict[str, Any]:
    from django.contrib.auth.models import User

    from marketplace import curation, intake, popularity, publishers
    from marketplace.models import FeedSource, Publisher
    from marketplace.models.rollouts import Rollout, UpdatePolicy
    from tests.marketplace import kit

    people = [User.objects.get_or_create(username=name)[0] for name in ("olga", "olaf", "visitor")]
    owner, other, visitor = (kit.actor(user) for user in people)
    publishers.create("acme", name=f"{ARABIC} {EMOJI}", actor=owner, website="https://example.org/" + "path/" * 15)
    publishers.create("umbra", name="U" * 100, actor=other)
    publishers.set_state(Publisher.objects.get(slug="acme"), state="active", verified=True, actor=_system(), reason="r")
    publishers.make_token(Publisher.objects.get(slug="acme"), name="continuous deployment", days=30, actor=owner)
    decides = kit.actor(root)
    readme = f"# {EMOJI}\n\n{ARABIC}\n\n" + "| a | b |\n|---|---|\n| 1 | 2 |\n\n" + f"```\n{'x' * 300}\n```\n\n{EVIL}\n"
    extra = {"README.md": readme.encode()}
    made = {}
    for version, verb in (
        ("1.0.0", "approve"),
        ("1.1.0", "yank"),
        ("1.2.0", "quarantine"),
        ("1.3.0", "reject"),
        ("1.4.0", "request_changes"),
        ("1.5.0", "claim"),
        ("1.6.0", ""),
    ):
        grants = {"kv": kit.KV} | ({"content:write": {"reason": EVIL}} if version == "1.6.0" else {})
        release = kit.submitted(owner, extra, version=version, title=ARABIC, capabilities=grants)
        for step in {"yank": ["approve", "yank"], "quarantine": ["approve", "quarantine"], "": []}.get(verb, [verb]):
            release = curation.act(release, step, actor=decides, reason="Said at length. " * 12, digest=release.digest)
        made[version] = release
    popularity.record_install(made["1.0.0"], actor=visitor, site="elsewhere")
    popularity.rate(made["1.0.0"].plugin, stars=4, text=f"{ARABIC} {EVIL} " + "good " * 40, actor=visitor)
    foreign = intake.submit(
        kit.bundle(name="umbra-secret", publisher="umbra", title="Not shown yet"), actor=other, publisher="umbra"
    )
    source = FeedSource.objects.create(
        name="elsewhere",
        url="https://market.example.org/api/marketplace/feed",
        public_key="A" * 43 + "=",
        enabled=False,
    )
    policy = UpdatePolicy.objects.create(plugin=made["1.0.0"].plugin)
    Rollout.objects.create(
        plugin=made["1.0.0"].plugin,
        baseline=made["1.0.0"],
        candidate=made["1.1.0"],
        state="halted",
        percent=25,
        actor="user:root",
        reason="Said at length. " * 9,
        outcome="The candidate failed more often than the one before. " * 3,
        started_at=made["1.0.0"].submitted_at,
    )
    return {"waiting": made["1.6.0"], "approved": made["1.0.0"], "foreign": foreign, "source": source, "policy": policy}


def _system() -> Any:
    from marketplace import actors

    return actors.system()


def _records() -> dict[str, Any]:
    from django.utils import timezone

    from sandbox.models import (
        Invocation,
        PluginBlob,
        PluginDocument,
        PluginMail,
        PluginMeter,
        PluginObject,
        PluginSecret,
        PluginUsage,
        PluginValue,
        PluginWake,
    )
    from zelavis import identifiers

    now = timezone.now()
    statuses = ("ok", "ok", "ok", "trap", "deadline", "host_error", "memory", "capability_denied", "output_too_large")
    for number in range(60):
        status = statuses[number % len(statuses)]
        Invocation.objects.create(
            id=identifiers.make("inv"),
            created_at=now - timedelta(minutes=23 * number),
            plugin=("counter", LONG)[number % 2],
            version="1.0.0",
            digest="ab" * 32,
            hook="content:afterSave",
            status=status,
            duration_ms=0.4 + number % 7 * 11,
            memory_bytes=1_200_000 + number * 1000,
            fuel=10_000 * number,
            host_calls=number % 5,
            refusals=number % 2,
            result=json.dumps(BIG) if number == 0 else json.dumps({"saves": number}),
            error=""
            if status == "ok"
            else json.dumps({"name": "Error", "message": EVIL + " boom " * 30, "stack": "at x"}),
            refused=json.dumps([["users", "get", "capability_denied", "It was not granted."]]) if number % 2 else "",
            logs=json.dumps([["info", f"{ARABIC} {EVIL}"], ["error", "y" * 300]]),
            operator_detail="wasm trap: unreachable" if status == "trap" else "",
            correlation="req_" + "0" * 26,
            actor="user:root",
        )
    size = {"plugin": "counter", "size": 9}
    value = PluginValue.objects.create(**size, key="k" * 300, value=json.dumps(BIG), updated_ms=1_780_000_000_000)
    PluginDocument.objects.create(**size, collection="notes", key=ARABIC, body=json.dumps(BIG), updated_ms=1)
    PluginObject.objects.create(**size, key="record", value="{}", owner="inv_x")
    PluginBlob.objects.create(**size, name=EVIL, file="x", content_type="text/html", sha256="0" * 64, updated_ms=1)
    # Not due while anybody looks: a worker would take them away.
    later = now + timedelta(days=9)
    PluginMail.objects.create(plugin="counter", subject=EVIL, recipients="[]", created_at=now, due_at=later)
    PluginWake.objects.create(plugin="counter", name="tick", at_ms=4_000_000_000_000, data="{}")
    PluginUsage.objects.create(plugin="counter", store="documents", count=1, bytes=9)
    PluginMeter.objects.create(plugin="counter", meter="kv", hour=494_000, used=3)
    secret = PluginSecret.objects.create(plugin="counter", name="key", sealed="sealed")
    return {"invocation": Invocation.objects.order_by("-created_at").first(), "value": value, "secret": secret}


def _runs() -> dict[str, Any]:
    from runs import engine, lifecycle
    from runs.manifests import ingesting, registering
    from tests.acceptance.slow import workflows

    assert workflows

    def run(workflow: str, given: Any, **more: Any) -> str:
        triggered = lifecycle.trigger(workflow, input=given, claim=True, **more)
        if triggered.held is not None:
            engine.drive(triggered.held)
        return triggered.run_id

    meta = {"tenantId": "other", "projectId": "p", "organizationId": "o"}
    made = {
        "asks": run("asks", BIG, tags=["vip", ARABIC]),
        "died": run("dies", {"why": EVIL}),
        "sleeping": run("greet", {"name": EMOJI}),
        "theirs": run("greet", {"name": "secret-of-the-other-tenant"}, tenant_meta=meta),
        "long": run("asks", {}, run_id="order/" + "9" * 80),
    }
    for _ in range(4):
        run("dies", {"why": "the same"})
    document = {
        "versionId": "v1",
        "workflows": [{"id": "asks", "schedules": [{"every": "1h", "name": ARABIC}, {"cron": "bad"}]}],
        "eventFilters": [{"id": "f", "eventType": "order", "targetWorkflowId": "asks"}],
    }
    registering.register(document, environment="production", actor="user:root")
    ingesting.ingest({"name": "order", "emittedAt": "t", "data": EVIL}, environment="production")
    return made


def _settings(root: Any) -> dict[str, Any]:
    from django.contrib.flatpages.models import FlatPage
    from django.contrib.sites.models import Site
    from django.utils import timezone
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    from runs.models import Dispatcher
    from zelavis import tokens
    from zelavis.models import DispatchNamespace, DispatchWorker, HostedPlugin

    space = DispatchNamespace.objects.create(name="edge", description=f"{EMOJI} far away")
    worker = DispatchWorker.objects.create(namespace=space, name="one", base_url="https://worker.example.org")
    hosted = HostedPlugin.objects.create(name="guest", version="1.0.0", deployed_at=timezone.now())
    dispatcher = Dispatcher.objects.create(name="theirs", kind="http", url="https://t.example.org", timeout_seconds=5)
    every, _ = IntervalSchedule.objects.get_or_create(every=5, period="minutes")
    job, _ = PeriodicTask.objects.get_or_create(name="a job", defaults={"task": "x.y", "interval": every})
    token, _ = tokens.create(f"{ARABIC} laptop", ["runs:read"], owner=root)
    site, _ = Site.objects.get_or_create(pk=1, defaults={"domain": "example.com", "name": "example.com"})
    flat, _ = FlatPage.objects.get_or_create(url="/about/", defaults={"title": "About"})
    flat.sites.add(site)
    return {
        "space": space, "worker": worker, "hosted": hosted, "dispatcher": dispatcher, "job": job, "token": token,
        "site": site, "flat": flat,
    }  # fmt: skip


if __name__ == "__main__":
    import django

    django.setup()
    with tempfile.TemporaryDirectory() as place:
        print(sorted(fill(Path(place))))
