"""Tells the marketplace that this site has installed a release: what its counts and ratings stand on."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth import get_user_model

from marketplace import popularity
from marketplace.actors import Actor
from marketplace.models import Release
from zelavis.models import Deployment

#: This registry, as the marketplace tells sites apart.
SITE = "registry"


def count(deployment: Deployment, *, actor: str, now: datetime) -> None:
    """Count an install, in the transaction that brings the release into service. A worker's own plugin is none."""
    release = Release.objects.filter(pk=deployment.release).first() if deployment.release else None
    if release is None:
        return
    kind, _, name = actor.partition(":")
    users = get_user_model()._default_manager
    user = users.filter(username=name).first() if kind == "user" else None
    popularity.record_install(release, actor=Actor(name=actor, user=user), site=SITE, now=now)
