"""The roles of people."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission

from zelavis import roles

pytestmark = pytest.mark.django_db


def held(role: str) -> set[str]:
    return {
        f"{permission.content_type.app_label}.{permission.codename}"
        for permission in Group.objects.get(name=role).permissions.select_related("content_type")
    }


def test_every_permission_that_a_role_names_exists() -> None:
    """No role names a permission that there is none of: a renamed permission is found here, not by a user."""
    roles.synchronize()
    for role, patterns in roles.ROLES.items():
        assert {name for name in patterns if not name.endswith("*")} <= held(role), role


def test_a_viewer_only_sees() -> None:
    """The viewer's role holds nothing but permissions to look, and no look at tokens."""
    roles.synchronize()
    assert all(".view_" in name for name in held("viewer"))
    assert "zelavis.view_apitoken" not in held("viewer")


def test_nobody_edits_rows_by_hand() -> None:
    """No role may add, change or delete a row of ours by hand: changes go through verbs."""
    roles.synchronize()
    for role in roles.ROLES:
        ours = {name for name in held(role) if name.split(".")[0] in ("marketplace", "zelavis", "runs", "sandbox")}
        assert {name for name in ours if name.split(".")[1].startswith(("add_", "change_", "delete_"))} == set()


def test_what_was_taken_or_given_by_hand_is_put_right() -> None:
    """After a migrate the roles hold exactly what the code says."""
    roles.synchronize()
    before = held("curator")
    group = Group.objects.get(name="curator")
    group.permissions.set(Permission.objects.filter(codename="delete_user"))
    roles.synchronize()
    assert held("curator") == before
