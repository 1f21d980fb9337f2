"""Approved releases of small plugins, through the marketplace's own doors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from marketplace import actors, bundles, curation, intake
from marketplace.models import Publisher, Release, ReleaseState

MODULE = """
export default {
  hooks: {
    "content:afterSave": async (event, ctx) => {
      const saves = await ctx.kv.increment("saves");
      return { version: ctx.plugin.version, saves };
    },
    "plugin:install": async (event, ctx) => { await ctx.kv.increment("installs"); },
    "plugin:activate": async (event, ctx) => { await ctx.kv.increment("activations"); },
  },
  routes: {
    "GET /stats": async (request, ctx) => ({
      json: { saves: await ctx.kv.get("saves"), seen: Object.keys(request.headers) },
    }),
  },
};
"""


def approved(
    directory: Path, *, name: str = "counter", version: str = "1.0.0", module: str = MODULE, **members: Any
) -> Release:
    """Pack, submit and approve one version."""
    folder = directory / f"{name}-{version}"
    folder.mkdir(parents=True)
    manifest = {
        "manifestVersion": 1,
        "name": name,
        "version": version,
        "title": name,
        "description": "A plugin of the tests.",
        "license": "Apache-2.0",
        "publisher": "tests",
        "entry": "plugin.mjs",
        "hooks": [{"name": "content:afterSave"}],
        "routes": [{"path": "/stats", "methods": ["GET"], "public": False}],
        "capabilities": {"kv": {"reason": "Counts.", "callsPerInvocation": 10, "callsPerHour": 1000, "bytes": 65536}},
        "compatibility": {"zelavis": ">=0.1,<1"},
        **members,
    }
    (folder / "zelavis.plugin.json").write_text(json.dumps(manifest))
    (folder / "plugin.mjs").write_text(module)
    (folder / "README.md").write_text(f"# {name}\n\nA plugin of the tests.\n")
    Publisher.objects.get_or_create(
        slug="tests", defaults={"name": "Tests", "verified": True, "state": Publisher.State.ACTIVE}
    )
    release = intake.submit(bundles.pack(folder), actor=actors.system(), publisher="tests")
    for name in ("eve", "mallory"):
        person, _ = User.objects.get_or_create(username=name, is_superuser=True, is_staff=True)
        if release.state != ReleaseState.APPROVED:
            # What is risky needs both of them.
            actor = actors.Actor(name=f"user:{name}", user=person)
            release = curation.act(release, "approve", actor=actor, reason="fine", digest=release.digest)
    return release


def looper(directory: Path, *, deadline_ms: int = 10_000) -> Release:
    """A plugin that never ends by itself, but for content that is new."""
    return approved(
        directory,
        name="looper",
        module="const loop = async (event) => { while (!event.created); };\n"
        'export default { hooks: { "content:afterSave": loop, cron: loop } };',
        hooks=[{"name": name, "timeoutMs": deadline_ms} for name in ("content:afterSave", "cron")],
        routes=[],
        capabilities={},
        limits={"deadlineMs": deadline_ms},
    )
