"""The roles of people."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

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


def test_no_role_writes_the_log_or_makes_tokens() -> None:
    """No role may touch API tokens, or write what only the platform writes."""
    roles.synchronize()
    for role in roles.ROLES:
        assert {name for name in held(role) if "apitoken" in name} == set()
        assert {name for name in held(role) if "auditevent" in name} == {"zelavis.view_auditevent"}


def test_what_machines_write_has_no_form(admin_client: Client) -> None:
    """Even a superuser gets no form to add, edit or delete a row that a verb keeps."""
    from django.contrib import admin

    from zelavis.admin.readonly import ReadOnlyAdmin

    pages = [page for page in admin.site._registry.values() if isinstance(page, ReadOnlyAdmin)]
    assert len(pages) > 5
    for page in pages:
        assert admin_client.get(f"/admin/{page.opts.app_label}/{page.opts.model_name}/add/").status_code == 403


def test_what_was_taken_or_given_by_hand_is_put_right() -> None:
    """After a migrate the roles hold exactly what the code says."""
    roles.synchronize()
    before = held("curator")
    group = Group.objects.get(name="curator")
    group.permissions.set(Permission.objects.filter(codename="delete_user"))
    roles.synchronize()
    assert held("curator") == before
