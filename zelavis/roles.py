"""The roles of people in the admin, as Django groups: what each may do is written here, once.

``viewer`` sees, ``curator`` decides about releases, ``operator`` decides what is installed and looks after runs. A
superuser may do everything. The groups are brought up to date after each ``migrate``; others can be made beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Apps whose rows the roles are about. Accounts and groups stay with superusers.
_APPS = ("marketplace", "zelavis", "runs", "sandbox")
#: Rows that no role shows or changes: only superusers make tokens, and nobody writes the audit log by hand.
_HIDDEN = ("_apitoken",)
_SEEN_ONLY = ("_auditevent", "_heartbeat", "_invocation")

#: Permissions of each role beside seeing everything; ``app.*`` is every permission of that app. What machines write
#: cannot be edited in the admin whoever asks: there, permission to change a row is permission to use its verbs.
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": (),
    "curator": (
        "marketplace.review_release",
        "marketplace.quarantine_release",
        "marketplace.yank_release",
        "marketplace.takedown_release",
        "marketplace.takedown_plugin",
        "marketplace.transfer_plugin",
        "marketplace.verify_publisher",
        "marketplace.moderate_rating",
    ),
    "operator": (
        "zelavis.*",
        "runs.*",
        "sandbox.*",
        "marketplace.import_feedsource",
        "flatpages.add_flatpage",
        "flatpages.change_flatpage",
    ),
}


def synchronize(**kwargs: Any) -> None:
    """A ``post_migrate`` receiver: make the groups, and give them exactly what stands here."""
    from django.contrib.auth.models import Group, Permission

    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role, patterns in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        wanted = {known[name] for name in _names(patterns, set(known))}
        if wanted != set(group.permissions.all()):
            group.permissions.set(wanted)


def _names(patterns: tuple[str, ...], known: set[str]) -> Iterator[str]:
    for name in sorted(known):
        app, codename = name.split(".", 1)
        if app in _APPS and codename.endswith(_HIDDEN):
            continue
        seeing = app in _APPS and codename.startswith("view_")
        working = f"{app}.*" in patterns and not codename.endswith(_SEEN_ONLY)
        if seeing or working or name in patterns:
            yield name
