"""Asking the marketplaces that we follow for their feed: bounded, without redirects, never trusted unverified."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.utils import timezone

from marketplace import following
from marketplace.errors import FeedRefused
from marketplace.models import FeedSource

logger = logging.getLogger("zelavis.marketplace")
TIMEOUT = 10.0
_LOCAL = {"localhost", "127.0.0.1", "::1"}


def url_problem(url: str) -> str:
    """Why a URL may not be followed; empty: it may. Plain http only to this machine: the operator chose the place."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        return "A feed's URL holds no password."
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL):
        return ""
    return "Expected an https URL."


def due(*, now: datetime | None = None) -> float | None:
    """Seconds until the earliest source wants to be asked; ``None``: nothing is followed."""
    first = FeedSource.objects.exclude(url="").filter(enabled=True, wake_at__isnull=False).order_by("wake_at").first()
    if first is None or first.wake_at is None:
        return None
    return (first.wake_at - (now or timezone.now())).total_seconds()


def poll(*, now: datetime | None = None) -> int:
    """Ask every source whose time has come; answers how many were asked."""
    moment, asked = now or timezone.now(), 0
    for source in FeedSource.objects.exclude(url="").filter(enabled=True, wake_at__lte=moment):
        # The claim: who moves the wake time asks.
        claimed = FeedSource.objects.filter(pk=source.pk, wake_at=source.wake_at).update(
            wake_at=moment + timedelta(seconds=max(1, source.every_seconds))
        )
        if claimed:
            fetch(source, now=moment)
            asked += 1
    return asked


def fetch(source: FeedSource, *, now: datetime | None = None) -> str:
    """Ask one source; answers the outcome: ``ok``, ``unreachable``, ``invalid``, ``stale`` or ``expired``."""
    moment = now or timezone.now()
    try:
        document = _download(source.url)
        following.accept(source, document, now=moment)
    except FeedRefused as error:
        outcome, detail = str(error.members.get("outcome", "invalid")), error.message
    except (httpx.HTTPError, UnicodeDecodeError, ValueError) as error:
        outcome, detail = "unreachable", f"{type(error).__name__}: {error}"
    else:
        return "ok"
    logger.warning("feed not taken", extra={"feed": source.name, "outcome": outcome, "detail": detail})
    FeedSource.objects.filter(pk=source.pk).update(outcome=outcome, detail=detail[:300])
    return outcome


def _download(url: str) -> str:
    problem = url_problem(url)
    if problem:
        raise ValueError(problem)
    timeout = getattr(settings, "MARKETPLACE_FEED_TIMEOUT", TIMEOUT)
    with (
        httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        body = b""
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > following.MAX_BYTES:
                raise ValueError("the answer is too large")
    return body.decode("utf-8")
