"""Records, files, secrets, mail and wake times in the database."""

from __future__ import annotations

import json
import secrets as randomness
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from sandbox.capabilities.backends.protocol import Blob, Message, Wake
from sandbox.capabilities.backends.room import check_room
from sandbox.capabilities.backends.values import lock_usage, write_usage
from sandbox.capabilities.faults import CommitConflict
from sandbox.capabilities.models import PluginBlob, PluginMail, PluginObject, PluginWake

_LAST = "\U0010ffff"


class DatabaseObjects:
    """The store of ``object``."""

    def take(self, plugin: str, key: str, owner: str, *, seconds: float) -> tuple[bool, str | None]:
        with transaction.atomic():
            return self._take(plugin, key, owner, seconds)

    def _take(self, plugin: str, key: str, owner: str, seconds: float) -> tuple[bool, str | None]:
        now = time.time_ns() // 1_000_000
        free = Q(leased_until_ms__lte=now) | Q(owner__in=["", owner])
        rows = PluginObject.objects.filter(plugin=plugin, key=key)
        until = now + int(seconds * 1000)
        if not rows.filter(free).update(owner=owner, leased_until_ms=until):
            if rows.exists():
                return False, None
            fresh = PluginObject(plugin=plugin, key=key, owner="", leased_until_ms=0)
            PluginObject.objects.bulk_create([fresh], ignore_conflicts=True)
            if not rows.filter(free).update(owner=owner, leased_until_ms=until):
                return False, None
        return True, rows.values_list("value", flat=True).get()

    def apply(
        self,
        plugin: str,
        changes: Mapping[str, str | None],
        *,
        owner: str,
        most_bytes: int,
        most_count: int,
        now_ms: int,
    ) -> None:
        count, octets = before = lock_usage(plugin, "object")
        for key, text in changes.items():
            rows = PluginObject.objects.filter(plugin=plugin, key=key, owner=owner)
            row = rows.values_list("value", "size").first()
            size = 0 if text is None else len(key.encode()) + len(text.encode())
            # The fence: whoever lost the lease may not write, however late it comes.
            if row is None or not rows.update(value=text, size=size, updated_ms=now_ms):
                raise CommitConflict
            count += (text is not None) - (row[0] is not None)
            octets += size - row[1]
        check_room(
            before, (count, octets), most_bytes=most_bytes, most_count=most_count, store="object", noun="records"
        )
        write_usage(plugin, "object", count, octets)

    def release(self, plugin: str, keys: Sequence[str], owner: str) -> None:
        held = PluginObject.objects.filter(plugin=plugin, key__in=keys, owner=owner)
        with transaction.atomic():
            held.filter(value=None).delete()
            held.update(owner="", leased_until_ms=0)


class DatabaseBlobs:
    """The store of ``blobs``."""

    def head(self, plugin: str, name: str) -> Blob | None:
        row = PluginBlob.objects.filter(plugin=plugin, name=name).first()
        return None if row is None else _blob(row)

    def scan(self, plugin: str, prefix: str, after: str | None, limit: int) -> list[Blob]:
        rows = PluginBlob.objects.filter(plugin=plugin, name__gte=prefix, name__lt=prefix + _LAST)
        if after is not None:
            rows = rows.filter(name__gt=after)
        return [_blob(row) for row in rows.order_by("name")[:limit]]

    def read(self, blob: Blob) -> bytes:
        with default_storage.open(blob.file, "rb") as file:
            data: bytes = file.read()
        return data

    def write(self, plugin: str, blob: Blob, data: bytes) -> Blob:
        # The plugin's name for it never becomes a path.
        file = default_storage.save(f"plugins/{plugin}/{randomness.token_hex(16)}", ContentFile(data))
        return replace(blob, file=file)

    def remove(self, file: str) -> None:
        default_storage.delete(file)

    def apply(
        self, plugin: str, changes: Mapping[str, Blob | None], *, most_bytes: int, most_count: int, now_ms: int
    ) -> list[str]:
        count, octets = before = lock_usage(plugin, "blobs")
        gone = []
        for name, blob in changes.items():
            row = PluginBlob.objects.filter(plugin=plugin, name=name).first()
            if row is not None:
                count, octets = count - 1, octets - row.size
                gone.append(row.file)
            if blob is None:
                if row is not None:
                    row.delete()
                continue
            row = row or PluginBlob(plugin=plugin, name=name)
            row.file, row.size, row.content_type = blob.file, blob.size, blob.content_type
            row.sha256, row.updated_ms = blob.sha256, now_ms
            row.save()
            count, octets = count + 1, octets + blob.size
        check_room(before, (count, octets), most_bytes=most_bytes, most_count=most_count, store="blobs", noun="files")
        write_usage(plugin, "blobs", count, octets)
        return gone


def _blob(row: PluginBlob) -> Blob:
    return Blob(name=row.name, size=row.size, content_type=row.content_type, sha256=row.sha256, file=row.file)


def queue_mail(plugin: str, call: str, messages: Sequence[Message]) -> None:
    """Rows for messages; ``sandbox.capabilities.outbox`` sends them."""
    now = timezone.now()
    PluginMail.objects.bulk_create(
        PluginMail(
            plugin=plugin,
            call=call,
            recipients=json.dumps(message.to),
            subject=message.subject,
            text=message.text,
            html=message.html,
            due_at=now,
        )
        for message in messages
    )


def wakes(plugin: str) -> list[Wake]:
    """The wake times of a plugin."""
    return [Wake(name=row.name, at_ms=row.at_ms, data=row.data) for row in PluginWake.objects.filter(plugin=plugin)]


def set_wakes(plugin: str, changes: Mapping[str, Wake | None], *, most: int) -> None:
    """Apply the wake times one call set."""
    lock_usage(plugin, "schedule")
    before = PluginWake.objects.filter(plugin=plugin).count()
    PluginWake.objects.filter(plugin=plugin, name__in=list(changes)).delete()
    PluginWake.objects.bulk_create(
        PluginWake(plugin=plugin, name=name, at_ms=wake.at_ms, data=wake.data)
        for name, wake in changes.items()
        if wake is not None
    )
    after = PluginWake.objects.filter(plugin=plugin).count()
    check_room((before, 0), (after, 0), most_bytes=0, most_count=most, store="schedule", noun="wake times")
