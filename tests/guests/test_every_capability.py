"""Every capability through a real guest and the real database: what the JavaScript runtime offers is what there is."""

from __future__ import annotations

import http.server
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import mail

from sandbox import compiler, host
from sandbox.call import Call
from sandbox.capabilities import outbox, registry
from sandbox.limits import Limits
from tests.sandbox.capabilities.harness import reachable

ROOT = Path(__file__).resolve().parents[2]
SOURCE = b"""
export default { hooks: { all: async (event, ctx) => {
  const told = {};
  await ctx.kv.set("a", 1, { ttlSeconds: 60 });
  told.kv = [await ctx.kv.increment("n", 5), await ctx.kv.compareAndSet("a", 1, 2), await ctx.kv.get("a"),
    (await ctx.kv.list("a")).items, await ctx.kv.delete("a")];
  await ctx.documents.put("orders", "o1", { status: "open" });
  told.documents = [(await ctx.documents.query("orders", { where: { status: "open" } })).items,
    await ctx.documents.count("orders"), await ctx.documents.get("orders", "o1"),
    await ctx.documents.delete("orders", "o2")];
  await ctx.blobs.put("b", ctx.bytes.toBase64(new Uint8Array([1, 2, 255])), { contentType: "image/png" });
  told.blobs = [(await ctx.blobs.get("b")).base64, (await ctx.blobs.head("b")).size,
    (await ctx.blobs.list()).items.length, await ctx.blobs.delete("c")];
  await ctx.object.put("room", (await ctx.object.get("room") ?? 0) + 1);
  told.object = [await ctx.object.get("room"), await ctx.object.delete("other")];
  const answer = await ctx.http.fetch(event.url, { method: "POST", body: "hi", secret: "key" });
  told.http = [answer.status, answer.text];
  told.secrets = await ctx.secrets.list();
  told.users = [(await ctx.users.get(event.user)).username, (await ctx.users.list()).items.length];
  await ctx.email.send({ to: "a@example.com", subject: "Hello", text: "Text" });
  told.schedule = [await ctx.schedule.at("soon", { afterSeconds: 60 }, { n: 1 }), (await ctx.schedule.list()).length,
    await ctx.schedule.cancel("never")];
  told.crypto = [(await ctx.crypto.randomBytes(8)).length, await ctx.crypto.digest("SHA-256", "x"),
    await ctx.crypto.hmac("SHA-256", "key", new Uint8Array([1]))].map((one) => one.length ?? one);
  console.warn("done", told.kv.length);
  return told;
} } };
"""


class _Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(body + b" " + self.headers["Authorization"].encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def origin(settings: Any, tmp_path: Path) -> Iterator[str]:
    """A server that plugins may reach."""
    with reachable(_Echo, settings, tmp_path) as url:
        yield url


@pytest.mark.django_db
def test_a_guest_uses_every_capability(origin: str, django_user_model: Any) -> None:
    """One call uses everything it was granted, and what it wrote is there afterwards, twice in a row."""
    from sandbox.capabilities.secrets import seal
    from sandbox.models import PluginBlob, PluginObject, PluginSecret, PluginValue, PluginWake

    user = django_user_model.objects.create_user("ann")
    PluginSecret.objects.create(plugin="one", name="key", sealed=seal("s3cret-value"))
    names = {"key": {"host": origin, "prefix": "Bearer "}}
    grants: dict[str, dict[str, Any]] = {
        name: {"reason": "t"} for name in ("kv", "blobs", "object", "users:read", "email:send", "schedule")
    }
    grants["documents"] = {"reason": "t", "collections": {"orders": {"indexes": ["status"]}}}
    grants["http"] = {"reason": "t", "hosts": [origin]}
    grants["secrets"] = {"reason": "t", "names": names}
    artifact = compiler.deploy(SOURCE, kind="javascript")
    for turn in (1, 2):
        outcome = host.execute(
            artifact,
            Call(
                id=f"inv_{turn}",
                plugin="one",
                version="1.0.0",
                hook="all",
                event={"url": f"{origin}/x", "user": user.pk},
            ),
            grants=grants,
            limits=Limits(deadline_ms=10_000),
        )
        assert outcome.ok, outcome
        told = outcome.result
        assert told["kv"] == [5 * turn, True, 2, [{"key": "a", "value": 2}], True]
        assert told["documents"] == [[{"id": "o1", "data": {"status": "open"}}], 1, {"status": "open"}, False]
        assert told["blobs"] == ["AQL/", 3, 1, False]
        assert told["object"] == [turn, False]
        assert told["http"] == [201, "hi Bearer [redacted]"]
        assert told["secrets"] == [{"name": "key", "set": True}]
        assert told["users"] == ["ann", 1]
        assert told["schedule"][1:] == [1, False]
        assert told["crypto"] == [8, 64, 64]
        assert outcome.refusals == ()
    assert PluginValue.objects.get(key="n").value == "10"
    assert PluginObject.objects.get().value == "2"
    assert (PluginBlob.objects.count(), PluginWake.objects.count()) == (1, 1)
    assert outbox.send_due() == 2
    assert len(mail.outbox) == 2


def _namespaces() -> dict[str, set[str]]:
    text = (ROOT / "sandbox" / "javascript" / "bootstrap.js").read_text(encoding="utf-8")
    block = re.search(r"const NAMESPACES = \{(.*?)\n  \};", text, re.DOTALL)
    assert block
    found = re.findall(r"(\w+): \[([^\]]*)\]", block.group(1))
    return {family: set(re.findall(r'"(\w+)"', operations)) for family, operations in found}


def test_the_runtime_offers_exactly_what_there_is() -> None:
    """The names under ctx are the operations of the registered capabilities, no more and no less."""
    offered = _namespaces()
    for capability in registry.all_capabilities():
        if capability.name in ("log", "crypto"):
            continue
        assert offered.get(capability.import_name) == set(capability.operations), capability.name


def test_the_types_name_every_operation() -> None:
    """zelavis.d.ts, which ``plugin new`` hands out, has every operation of the capabilities of the sandbox."""
    types = (ROOT / "marketplace/authoring/templates/javascript/zelavis.d.ts").read_text(encoding="utf-8")
    for capability in registry.all_capabilities():
        if capability.name.startswith("runs:") or capability.name == "log":
            continue
        for operation in capability.operations:
            assert re.search(rf"\b{operation}\(", types), f"{capability.name} {operation}"


def test_the_reference_names_every_operation_and_code() -> None:
    """docs/reference/capabilities.md has the signature of every operation and every code of a fault."""
    page = (ROOT / "docs/reference/capabilities.md").read_text(encoding="utf-8")
    for capability in registry.all_capabilities():
        if not capability.name.startswith("runs:"):
            for operation in capability.operations.values():
                assert f"`{operation.signature}`" in page
    codes = set()
    for file in (ROOT / "sandbox" / "capabilities").rglob("*.py"):
        codes |= set(re.findall(r'(?:Fault|Refused)\(\s*"(\w+)"', file.read_text(encoding="utf-8")))
    assert {code for code in codes if f"| `{code}` |" not in page} == set()
