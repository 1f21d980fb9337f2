"""API tokens."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from zelavis import tokens
from zelavis.errors import InvalidRequest, Unauthorized
from zelavis.models import ApiToken, AuditEvent

pytestmark = pytest.mark.django_db


def test_the_secret_is_not_kept() -> None:
    """What is stored does not contain the secret form of the token."""
    token, secret = tokens.create("a", ["runs:read"])
    assert secret.split("_", 2)[2] not in str(ApiToken.objects.filter(pk=token.pk).values().get())


def test_a_token_is_found_by_its_secret_and_marked_as_used() -> None:
    """The secret form finds its token, and the first use is noted."""
    token, secret = tokens.create("a", ["runs:read"])
    assert tokens.find(secret) == token
    token.refresh_from_db()
    assert token.last_used_at is not None


@pytest.mark.parametrize(
    "change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(seconds=1)}]
)
def test_a_dead_token_is_refused(change: dict[str, object]) -> None:
    """A revoked or expired token is as good as none."""
    token, secret = tokens.create("a", ["*"])
    ApiToken.objects.filter(pk=token.pk).update(**change)
    with pytest.raises(Unauthorized):
        tokens.find(secret)


@pytest.mark.parametrize(
    "presented", ["", "zlv_", "zlv_abcdefgh_" + "x" * 32, "Bearer x", "zlv_abcdefgh_" + "x" * 31 + "é"]
)
def test_what_is_no_token_is_refused(presented: str) -> None:
    """Anything that is not a live token's secret form is refused alike."""
    with pytest.raises(Unauthorized):
        tokens.find(presented)


@pytest.mark.parametrize("scopes", [[], ["runs:everything"], ["**"]])
def test_scopes_must_exist(scopes: list[str]) -> None:
    """A token without a scope, or with one that does not exist, is not made."""
    with pytest.raises(InvalidRequest):
        tokens.create("a", scopes)
    assert not ApiToken.objects.exists()


def test_a_revoked_token_ends_at_once() -> None:
    """After revoke the token no longer opens anything."""
    token, secret = tokens.create("a", ["*"])
    tokens.revoke(token)
    with pytest.raises(Unauthorized):
        tokens.find(secret)


def test_the_command_prints_the_token_alone() -> None:
    """create_token writes nothing but the token to standard output, and the deed to the audit log."""
    out = StringIO()
    call_command("create_token", "ci", "--scope", "runs:read", "--scope", "runs:write", stdout=out)
    secret = out.getvalue().strip()
    assert tokens.find(secret).scopes == ["runs:read", "runs:write"]
    assert AuditEvent.objects.get().target == "token:ci"


@pytest.mark.parametrize(
    "arguments", [("x", "--scope", "nope"), ("x", "--scope", "*", "--days", "0"), (" ", "--scope", "*")]
)
def test_the_command_refuses_what_makes_no_token(arguments: tuple[str, ...]) -> None:
    """A wrong scope, lifetime or name is one clear error and no token."""
    with pytest.raises(CommandError):
        call_command("create_token", *arguments, stdout=StringIO())
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "missing Authorization header"),
        ("Basic abc", "Authorization header must use the Bearer scheme"),
        ("bearer zlv_x", "Authorization header must use the Bearer scheme"),
        ("Bearer nonsense", "The bearer token is not a Zelavis token (zlv_…)."),
    ],
)
def test_the_api_says_why_it_refuses(header: str | None, message: str) -> None:
    """A request without a usable token gets 401, the reason, and the way to authenticate."""
    client = APIClient()
    answer = client.get("/api/plugins", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorized"
    assert answer.json()["message"] == message
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer["X-Request-ID"]


def test_a_token_opens_only_its_scopes() -> None:
    """A token without the scope of a route is refused with the scope's name."""
    _, secret = tokens.create("a", ["runs:read"])
    answer = APIClient().get("/api/plugins", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 403
    assert answer.json()["scope"] == "plugins:read"
