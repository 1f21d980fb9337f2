"""The capabilities that come with the sandbox."""

from __future__ import annotations

import functools

from sandbox.capabilities import registry


@functools.cache
def register_all() -> None:
    """Register each one, once a process."""
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

    for capability in (
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
    ):
        registry.register(capability)
