"""The capabilities that come with the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.capabilities.base import Capability


def capabilities() -> tuple[Capability, ...]:
    """One of each."""
    from sandbox.capabilities import (
        blobs,
        content,
        crypto,
        documents,
        email,
        http,
        kv,
        log,
        objects,
        schedule,
        secrets,
        users,
    )

    return (
        kv.Kv(),
        documents.Documents(),
        blobs.Blobs(),
        objects.Object(),
        http.Http(),
        content.ContentRead(),
        content.ContentWrite(),
        users.UsersRead(),
        email.EmailSend(),
        secrets.Secrets(),
        schedule.Schedule(),
        log.Log(),
        crypto.Crypto(),
    )
