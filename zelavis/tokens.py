"""API tokens: made once, shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from zelavis.errors import InvalidRequest, Unauthorized
from zelavis.models import ApiToken

#: Every scope there is, with what it allows. ``*`` stands for all of them.
SCOPES = {
    "plugins:read": "See the registry, activations, adapters and invocations.",
    "plugins:write": "Install, update, roll back, uninstall and configure plugins.",
    "metrics:read": "Read the figures for a monitoring system.",
    "workers:read": "See dispatch namespaces and their workers.",
    "workers:write": "Add, change and remove dispatch namespaces and workers, and change their secrets.",
    "hooks:read": "See the hook catalogue and who listens.",
    "hooks:fire": "Fire a hook from another host.",
    "routes:call": "Call private routes of plugins.",
    "runs:read": "See durable runs.",
    "runs:write": "Trigger, resume and cancel runs; inject events, signals and tokens.",
    "manifests:write": "Register manifests of workflows, schedules and event filters.",
    "marketplace:publish": "Submit releases and manage one's publishers.",
    "marketplace:review": "See the curation queue and review releases.",
}
_FORM = re.compile(r"zlv_([a-z0-9]{8})_([A-Za-z0-9_-]{32})")
_SEEN_EVERY = timedelta(minutes=1)


def create(
    name: str, scopes: Sequence[str], *, owner: User | None = None, tenant: str = "", expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Make a token; the second value is its secret form, which is not kept.

    Raises:
        InvalidRequest: no name, no scope, or a scope that does not exist.
    """
    if not name.strip():
        raise InvalidRequest("A token needs a name.")
    unknown = sorted(set(scopes) - set(SCOPES) - {"*"})
    if unknown or not scopes:
        raise InvalidRequest(
            (f"There is no scope {', '.join(unknown)}. " if unknown else "A token needs a scope. ")
            + f"Scopes: {', '.join(SCOPES)}, or * for all."
        )
    prefix = "".join(secrets.choice("abcdefghjkmnpqrstvwxyz0123456789") for _ in range(8))
    secret = secrets.token_urlsafe(24)
    token = ApiToken.objects.create(
        name=name.strip(),
        prefix=prefix,
        digest=_digest(secret),
        scopes=sorted(set(scopes)),
        owner=owner,
        tenant=tenant,
        expires_at=expires_at,
    )
    return token, f"zlv_{prefix}_{secret}"


def find(presented: str) -> ApiToken:
    """The live token behind its secret form.

    Raises:
        Unauthorized: malformed, unknown, revoked or expired; the answer does not say which of the last three.
    """
    match = _FORM.fullmatch(presented)
    if match is None:
        raise Unauthorized("The bearer token is not a Zelavis token (zlv_…).")
    # As SQL: every request asks this, and putting the query together costs four times as much as running it.
    token = next(iter(ApiToken.objects.raw("SELECT * FROM zelavis_apitoken WHERE prefix = %s", [match[1]])), None)
    # Compare even when there is none, so that the time taken does not tell.
    fits = hmac.compare_digest(token.digest if token else "0" * 64, _digest(match[2]))
    if token is None or not fits or not token.is_live(timezone.now()):
        raise Unauthorized("The bearer token is unknown, revoked or expired.")
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _SEEN_EVERY:
        ApiToken.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=now - _SEEN_EVERY), pk=token.pk).update(
            last_used_at=now
        )
    return token


def revoke(token: ApiToken) -> None:
    """End a token at once."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def _digest(secret: str) -> str:
    # 192 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()
