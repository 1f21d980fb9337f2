"""Downloads, installs and ratings that cannot be faked cheaply (hostile row G15).

A download counts once a day for the person whose token is used (for a token that belongs to nobody: for the token), or
for a network of 256 addresses (2^64 with IPv6) without one, and a network counts for at most so many plugins a day. An
install needs a token, or this server's own registry. Only an install may rate, once, and never one of the plugin's
publisher.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from marketplace import publishers
from marketplace.actors import Actor
from marketplace.errors import RatingRefused
from marketplace.models import Download, Install, Plugin, Rating, Release
from zelavis import audit
from zelavis.errors import InvalidRequest

#: Downloads that one network without a token adds a day, whatever it downloads.
MOST_A_DAY = 200


def _keyed(text: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def subject_of(actor: Actor, address: str, day: date) -> str:
    """Who downloads, as a keyed hash of the day."""
    if actor.token_prefix:
        # A publisher makes as many tokens as it likes, all of them its owners': the person counts.
        who = f"user:{actor.user.pk}" if actor.user is not None else f"token:{actor.token_prefix}"
        return _keyed(f"download:{day}:{who}")
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return _keyed(f"download:{day}:unknown")
    network = ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False)
    return _keyed(f"download:{day}:{network}")


def count_download(release: Release, *, actor: Actor, address: str, now: datetime | None = None) -> bool:
    """Count a download; answers whether it counted."""
    day = (now or timezone.now()).date()
    subject = subject_of(actor, address, day)
    with transaction.atomic():
        if not actor.token_prefix and Download.objects.filter(day=day, subject=subject).count() >= MOST_A_DAY:
            return False
        _, new = Download.objects.get_or_create(release=release, day=day, subject=subject)
        if new:
            Release.objects.filter(pk=release.pk).update(downloads=F("downloads") + 1)
            Plugin.objects.filter(pk=release.plugin_id).update(downloads=F("downloads") + 1)
    return new


def record_install(release: Release, *, actor: Actor, site: str = "", now: datetime | None = None) -> Install:
    """A site has installed a release. ``site``: this server's registry says so; empty: the actor's token does.

    Raises:
        RatingRefused: neither vouches.
    """
    moment = now or timezone.now()
    who = f"site:{site}" if site else f"token:{actor.token_prefix}" if actor.token_prefix else ""
    if not who:
        raise RatingRefused("An install is told with a token.")
    with transaction.atomic():
        install, new = Install.objects.get_or_create(
            plugin_id=release.plugin_id,
            site=_keyed(f"install:{who}"),
            defaults={"release": release, "user": actor.user, "first_at": moment, "last_at": moment},
        )
        if new:
            Plugin.objects.filter(pk=release.plugin_id).update(installs=F("installs") + 1)
        else:
            install.release, install.last_at = release, moment
            install.user = install.user or actor.user
            install.save(update_fields=["release", "last_at", "user"])
    return install


def install_of(plugin: Plugin, actor: Actor) -> Install | None:
    """The install on whose strength the actor may speak: of their token, or one that they made."""
    rows = Install.objects.filter(plugin=plugin)
    if actor.token_prefix:
        own = rows.filter(site=_keyed(f"install:token:{actor.token_prefix}")).first()
        if own is not None:
            return own
    return rows.filter(user=actor.user).first() if actor.user is not None else None


def rate(plugin: Plugin, *, stars: int, text: str, actor: Actor, now: datetime | None = None) -> Rating:
    """Rate, or change one's rating.

    Raises:
        RatingRefused: no install, or the plugin's own publisher. InvalidRequest: not 1 to 5 stars, or too long.
    """
    if not 1 <= stars <= 5 or len(text) > 2000:
        raise InvalidRequest("A rating has 1 to 5 stars and at most 2,000 characters.")
    if publishers.is_own(plugin.publisher, actor):
        raise RatingRefused("A publisher does not rate its own plugin.")
    install = install_of(plugin, actor)
    if install is None:
        raise RatingRefused("Only a site that has installed the plugin rates it.")
    with transaction.atomic():
        rating, _ = Rating.objects.update_or_create(
            install=install,
            defaults={
                "plugin": plugin,
                "version": install.release.version,
                "author": actor.name,
                "stars": stars,
                "text": text.strip(),
                "created_at": now or timezone.now(),
            },
        )
        sum_up(plugin)
        audit.record("plugin.rate", target=f"plugin:{plugin.name}", actor=actor.name, changes={"stars": [None, stars]})
    return rating


def sum_up(plugin: Plugin) -> None:
    """Bring the plugin's stars up to date, in the caller's transaction."""
    stars: list[Any] = list(Rating.objects.filter(plugin=plugin, hidden=False).values_list("stars", flat=True))
    Plugin.objects.filter(pk=plugin.pk).update(rating_sum=sum(stars), rating_count=len(stars))
