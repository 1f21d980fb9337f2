"""The address of every screen, on a platform that has something of everything.

As a program it fills the data directory of a server that runs, and prints the addresses as JSON, by the name of their
route: ``ZELAVIS_DATA_DIR=… python -m tests.acceptance.tour``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.admin.utils import quote
from django.urls import reverse

if TYPE_CHECKING:
    from tests.access.world import World

#: What is no screen of its own: sends, redirects, or answers a script.
NO_SCREEN = frozenset({"logout", "jsi18n", "autocomplete", "view_on_site", "runs_run_stream"})


def addresses(folder: Path) -> dict[str, str]:
    """Fill the configured database; then the path of each screen. ``folder`` is for bundles."""
    from tests.access.world import World, admin_names

    world = World(folder)
    return {
        **{f"admin:{name}": world.page(name) for name in admin_names() if has_a_screen(name)},
        # Its update to the version offered, since it is at the newest that is no preview.
        "admin:zelavis_pluginentry_update": world.page("zelavis_pluginentry_update") + f"?version={_offered(world)}",
        **_further(world),
        **_public(world),
    }


def _offered(world: World) -> str:
    return str(world.rows["offered"].version)


def has_a_screen(name: str) -> bool:
    """Whether somebody may look at a page of the admin, by the table of who may do what."""
    from tests.access import matrix
    from tests.access.world import rights

    if name in NO_SCREEN:
        return False
    may = rights(name)
    return name in matrix.OPEN or (may is not None and bool(may[0]))


def _further(world: World) -> dict[str, str]:
    """Pages of the admin that look different with what they show; the part after the space tells which."""
    rows: dict[str, Any] = world.rows
    run, release = "admin:runs_run_change", "admin:marketplace_release_change"
    entry, activation = "admin:zelavis_pluginentry_change", "admin:zelavis_activation_change"
    return {
        **{f"{run} {name}": reverse(run, args=[quote(rows[name])]) for name in ("asks", "died", "sleeping")},
        **{f"{release} {name}": reverse(release, args=[rows[name].pk]) for name in ("waiting", "approved")},
        "admin:sandbox_invocation_change failing": _trapped(),
        f"{entry} counter": reverse(entry, args=[rows["entry"].pk]),
        f"{activation} failed": reverse(activation, args=[rows["failed"].pk]),
        "admin:marketplace_release_queue mine": reverse("admin:marketplace_release_queue") + "?mine=1",
        "admin:runs_run_changelist nothing": reverse("admin:runs_run_changelist") + "?q=there-is-none-of-this",
    }


def _trapped() -> str:
    from sandbox.models import Invocation

    found = Invocation.objects.filter(status="trap", plugin="counter").first()
    assert found is not None
    return reverse("admin:sandbox_invocation_change", args=[quote(found.pk)])


def _public(world: World) -> dict[str, str]:
    """Pages for everybody."""
    from runs import clock, links

    question = links.url(world.rows["asks"], "May this go out?", expires_at=clock.now_ms() + 3_600_000)
    plugin = world.rows["approved"].plugin.name
    return {
        "catalogue": reverse("catalogue"),
        "catalogue search": reverse("catalogue") + "?q=count",
        "catalogue nothing": reverse("catalogue") + "?q=there-is-none-of-this",
        "catalogue-plugin": reverse("catalogue-plugin", args=[plugin]),
        "catalogue-release": reverse("catalogue-release", args=[plugin, "1.1.0"]),
        "catalogue-publisher": reverse("catalogue-publisher", args=["acme"]),
        "run-question": question[question.index("/tokens/") :],
        "problems": reverse("problems"),
        "problem": reverse("problem", args=["not_found"]),
    }


if __name__ == "__main__":
    import django

    django.setup()
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(addresses(Path(place)), indent=1))
