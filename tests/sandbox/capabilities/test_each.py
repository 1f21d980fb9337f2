"""Every declared capability, one by one, through a real guest and the real database.

That is SQLite, and PostgreSQL in its own suite. It works when granted, its quantities hold for a call and for an hour,
its writes vanish with the call, and every refusal is an error that the guest can catch and a figure in the admin.
"""

from __future__ import annotations

import http.server
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.flatpages.models import FlatPage
from django.test import Client
from django.urls import reverse

from sandbox import compiler, host
from sandbox.call import Call
from sandbox.capabilities import registry
from sandbox.capabilities.secrets import seal
from sandbox.limits import Limits
from sandbox.models import (
    Invocation,
    PluginBlob,
    PluginDocument,
    PluginMail,
    PluginObject,
    PluginSecret,
    PluginValue,
    PluginWake,
)
from sandbox.outcome import Outcome
from tests.sandbox.capabilities.harness import reachable

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Case:
    """How one capability is asked for, used and seen to have been used."""

    #: JavaScript, an expression; ``event`` has ``origin`` and ``user``.
    use: str
    grant: dict[str, Any]
    #: Rows that a use adds; ``None``: it reads.
    rows: Any = None


CASES: dict[str, Case] = {
    "kv": Case("ctx.kv.set('k', 1)", {}, PluginValue),
    "documents": Case(
        "ctx.documents.put('c', 'd', { n: 1 })", {"collections": {"c": {"indexes": ["n"]}}}, PluginDocument
    ),
    "blobs": Case("ctx.blobs.put('b', 'AQI=', { contentType: 'image/png' })", {}, PluginBlob),
    "object": Case("ctx.object.put('o', { n: 1 })", {}, PluginObject),
    "http": Case("ctx.http.fetch(event.origin)", {"hosts": ["ORIGIN"]}),
    "content:read": Case("ctx.content.list('flatpages.flatpage')", {}),
    "content:write": Case(
        "ctx.content.create('flatpages.flatpage', { url: '/made/', title: 'Made', body: 'b' })", {}, FlatPage
    ),
    "users:read": Case("ctx.users.get(event.user)", {}),
    "email:send": Case("ctx.email.send({ to: 'a@example.com', subject: 's', text: 't' })", {}, PluginMail),
    "secrets": Case("ctx.secrets.list()", {"names": {"key": {"host": "ORIGIN"}}}),
    "schedule": Case("ctx.schedule.at('soon', { afterSeconds: 60 }, 1)", {}, PluginWake),
}
WRITERS = [name for name, case in CASES.items() if case.rows is not None]


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def origin(settings: Any, tmp_path: Path) -> Iterator[str]:
    """A server that plugins may reach."""
    with reachable(_Hello, settings, tmp_path) as url:
        yield url


class Site:
    """Calls of a plugin with one capability."""

    def __init__(self, name: str, origin: str, user: Any) -> None:
        self.case = CASES[name]
        self.name = name
        self.origin = origin
        self.event = {"origin": origin, "user": user.pk}
        self.calls = 0
        PluginSecret.objects.create(plugin="each", name="key", sealed=seal("s3cret-value"))

    def run(self, body: str, *, granted: bool = True, **quantities: Any) -> Outcome:
        """One recorded call whose handler has this body; ``USE`` in it is the capability's use."""
        attempt = "const attempt = async (f) => { try { await f(); } catch (e) { return e.code; } return 'ok'; };"
        source = f"{attempt} export default {{ hooks: {{ go: async (event, ctx) => {{ {body} }} }} }};"
        artifact = compiler.deploy(source.replace("USE", self.case.use).encode(), kind="javascript")
        given = {
            key: [self.origin] if value == ["ORIGIN"] else {"key": {"host": self.origin}} if key == "names" else value
            for key, value in self.case.grant.items()
        }
        grants = {self.name: {"reason": "t", **given, **quantities}} if granted else {}
        self.calls += 1
        return host.execute(
            artifact,
            Call(id=f"inv_each{self.calls}", plugin="each", version="1.0.0", hook="go", event=self.event),
            grants=grants,
            limits=Limits(deadline_ms=10_000),
        )


@pytest.fixture(params=sorted(CASES))
def site(request: Any, origin: str, django_user_model: Any) -> Site:
    return Site(request.param, origin, django_user_model.objects.create_user("ann"))


def test_every_capability_is_a_case() -> None:
    """The cases here are all declared capabilities of the sandbox; those of runs are proved with runs."""
    declared = {one.name for one in registry.all_capabilities() if one.declared and not one.name.startswith("runs:")}
    assert set(CASES) == declared


def test_quantities_and_refusals(site: Site) -> None:
    """Granted it works; ungranted, over its count of a call and over its count of an hour it is refused with a code
    that the guest catches, each refusal counted in the ledger and shown in the admin."""
    twice = "return [await attempt(() => USE), await attempt(() => USE)];"
    once = "return await attempt(() => USE);"
    assert site.run(once).result == "ok"
    assert site.run(once, granted=False).result == "capability_denied"
    assert site.run(twice, callsPerInvocation=1).result == ["ok", "calls_exceeded"]
    until = "let last; for (let n = 0; n < 6 && last !== 'quota_exceeded'; n++) last = await attempt(() => USE); "
    assert site.run(until + "return last;", callsPerHour=3, callsPerInvocation=50).result == "quota_exceeded"
    rows = list(
        Invocation.objects.filter(plugin="each").order_by("created_at", "id").values_list("refusals", flat=True)
    )
    assert rows[:3] == [0, 1, 1]
    assert sum(rows) >= 3
    from tests.sandbox.admin.test_pages import person

    browser: Client = person("viewer")
    figures = browser.get(reverse("admin:sandbox_invocation_plugin", args=["each"]))
    assert figures.context["figures"].refusals == sum(rows)
    counted = {(name, code) for name, code, _ in figures.context["figures"].refused}
    assert {(site.name, code) for code in ("capability_denied", "calls_exceeded", "quota_exceeded")} == counted
    shown = browser.get(reverse("admin:sandbox_invocation_change", args=["inv_each2"])).content.decode()
    assert "capability_denied" in shown
    assert site.name in shown


@pytest.mark.parametrize("ending", ["throw new Error('end')", "for (;;);", "return 10n", "return 'x'.repeat(1 << 20)"])
@pytest.mark.parametrize("name", WRITERS)
def test_writes_vanish_with_the_call(name: str, ending: str, origin: str, django_user_model: Any) -> None:
    """What a call wrote is gone when it threw, ran too long or answered nonsense or too much, and stands when ok."""
    site = Site(name, origin, django_user_model.objects.create_user("ann"))
    rows = site.case.rows.objects
    before = rows.count()
    artifact_limits = {"deadline_ms": 1500} if "for" in ending else {"deadline_ms": 10_000}
    source = f"export default {{ hooks: {{ go: async (event, ctx) => {{ await {site.case.use}; {ending} }} }} }};"
    outcome = host.execute(
        compiler.deploy(source.encode(), kind="javascript"),
        Call(id="inv_vanish", plugin="each", version="1.0.0", hook="go", event=site.event),
        grants={name: {"reason": "t", **site.case.grant}},
        limits=Limits(**artifact_limits),
    )
    assert outcome.status in ("trap", "deadline", "output_invalid", "output_too_large"), outcome
    assert outcome.host_calls == 1
    # An object's row is its lease too: it may be there, without a value.
    written = rows.exclude(value=None) if name == "object" else rows
    assert written.count() == before
    assert site.run("await USE;").ok
    assert written.count() == before + 1
