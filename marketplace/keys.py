"""Signing keys of publishers."""

from __future__ import annotations

import base64

from django.db import IntegrityError, transaction
from django.utils import timezone

from marketplace import publishers, signatures
from marketplace.actors import Actor
from marketplace.models import Publisher, PublisherKey
from zelavis import audit
from zelavis.errors import Conflict, InvalidRequest, NotFound


def add(publisher: Publisher, public_key: str, *, actor: Actor) -> PublisherKey:
    """Make a key count for what is submitted from now on.

    Raises:
        NotAMember: the actor is no owner. InvalidRequest: no Ed25519 key. Conflict: known, here or elsewhere.
    """
    publishers.require_member(publisher, actor, owner=True)
    text = public_key.strip()
    if not signatures.is_public_key(text):
        raise InvalidRequest("Expected a raw Ed25519 public key: 32 bytes in base64.")
    try:
        with transaction.atomic():
            key = PublisherKey.objects.create(
                publisher=publisher, key_id=signatures.key_id(base64.b64decode(text)), public_key=text
            )
            audit.record(
                "publisher.key.add",
                target=f"publisher:{publisher.slug}",
                actor=actor.name,
                changes={"key": [None, key.key_id]},
            )
    except IntegrityError:
        raise Conflict("This key is known already.") from None
    return key


def revoke(publisher: Publisher, key_id: str, *, actor: Actor) -> None:
    """End a key.

    Raises:
        NotAMember: the actor is no owner. NotFound: no live key of this publisher.
    """
    publishers.require_member(publisher, actor, owner=True)
    with transaction.atomic():
        ended = PublisherKey.objects.filter(publisher=publisher, key_id=key_id[:16], revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if not ended:
            raise NotFound(f"{publisher.slug} has no live key {key_id[:16]!r}.")
        audit.record(
            "publisher.key.revoke",
            target=f"publisher:{publisher.slug}",
            actor=actor.name,
            changes={"key": [key_id[:16], None]},
        )
