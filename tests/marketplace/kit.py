"""Bundles, people and releases for the tests of the marketplace."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import Permission, User

from marketplace import actors, bundles, curation, intake, publishers
from marketplace.models import Publisher, Release

SOURCE = b"""// Counts saves.
export default {
  hooks: {
    "content:afterSave": async (event, ctx) => {
      const n = (await ctx.kv.get("saves")) ?? 0;
      await ctx.kv.set("saves", n + 1);
      return { saves: n + 1 };
    },
  },
};
"""
KV = {"reason": "Keeps the counter of saves."}


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest that holds; a change of ``None`` takes the member out."""
    value: dict[str, Any] = {
        "manifestVersion": 1,
        "name": "save-count",
        "version": "1.0.0",
        "title": "Save count",
        "description": "Counts how often pages are saved.",
        "license": "Apache-2.0",
        "publisher": "acme",
        "entry": "plugin.mjs",
        "hooks": [{"name": "content:afterSave"}],
        "capabilities": {"kv": KV},
        "compatibility": {"zelavis": ">=0.1,<1"},
    }
    value.update(changes)
    return {name: member for name, member in value.items() if member is not None}


def files(extra: dict[str, bytes] | None = None, **changes: Any) -> dict[str, bytes]:
    """The files of a bundle."""
    value = {
        "zelavis.plugin.json": json.dumps(manifest(**changes), ensure_ascii=False).encode(),
        "plugin.mjs": SOURCE,
        "README.md": b"# Save count\n\nCounts how often pages are saved.\n",
        "CHANGELOG.md": b"# 1.0.0\n\nFirst.\n",
        "LICENSE": b"Apache License, Version 2.0\n",
    }
    return {**value, **(extra or {})}


def bundle(extra: dict[str, bytes] | None = None, **changes: Any) -> bytes:
    """A bundle."""
    return bundles.pack_files(files(extra, **changes))


def person(name: str, *permissions: str, **more: Any) -> User:
    """A user of the admin with these permissions of the marketplace."""
    user = User.objects.create_user(name, password="x", is_staff=True, **more)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=permissions, content_type__app_label="marketplace")
    )
    return user


def actor(user: User) -> actors.Actor:
    """Somebody on the site."""
    return actors.Actor(name=f"user:{user.get_username()}", user=user)


def curator(name: str = "cora") -> actors.Actor:
    """Somebody with every permission of curation."""
    return actor(
        person(
            name,
            "view_release",
            "view_plugin",
            "review_release",
            "quarantine_release",
            "yank_release",
            "takedown_release",
            "takedown_plugin",
            "transfer_plugin",
            "verify_publisher",
            "moderate_rating",
            "view_rating",
            "view_publisher",
        )
    )


def publisher(slug: str = "acme", owner: User | None = None) -> tuple[Publisher, actors.Actor]:
    """A publisher and its owner."""
    who = actor(owner or person(f"owner-of-{slug}"))
    return publishers.create(slug, name=slug.capitalize(), actor=who), who


def submitted(owner: actors.Actor, extra: dict[str, bytes] | None = None, **changes: Any) -> Release:
    """A release that waits."""
    return intake.submit(bundle(extra, **changes), actor=owner)


def approved(owner: actors.Actor, by: actors.Actor, extra: dict[str, bytes] | None = None, **changes: Any) -> Release:
    """A release that was approved by one person; of low or medium risk."""
    release = submitted(owner, extra, **changes)
    return curation.act(release, "approve", actor=by, reason="Read it.", digest=release.digest)
