"""``blobs``: files of a plugin, in Django's storage."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, ClassVar

from sandbox.capabilities import arguments
from sandbox.capabilities.backends.protocol import Blob
from sandbox.capabilities.base import Capability, Context, Handler, Operation, amount, size
from sandbox.capabilities.faults import Refused

#: Largest file: base64 has to fit through a call's host bytes.
MAX_BLOB = 1 << 20
DEFAULT_BYTES = 16 << 20
DEFAULT_COUNT = 200
_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")


class BlobsHandler(Handler):
    """Files written during one call."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._staged: dict[str, tuple[Blob, bytes] | None] = {}
        self._written: dict[str, Blob] = {}
        self._stand = False
        self._left_over: list[str] = []

    @property
    def dirty(self) -> bool:
        return bool(self._staged)

    def put(self, args: list[Any]) -> dict[str, Any]:
        arguments.no_more(args, 3)
        name = arguments.key(args, name="name", longest=200)
        data = arguments.octets(arguments.get(args, 1, name="data"), name="data", most=MAX_BLOB)
        options = arguments.options(args, 2, allowed=("contentType",))
        content_type = options.get("contentType", "application/octet-stream")
        if not isinstance(content_type, str) or not _TYPE.fullmatch(content_type):
            raise arguments.invalid("contentType must be like text/plain.")
        most = self.context.quantity("bytes", DEFAULT_BYTES)
        own = sum(staged[0].size for staged in self._staged.values() if staged)
        if self.context.backend.usage(self.context.plugin, "blobs")[1] + own + len(data) > most:
            raise Refused("quota_exceeded", f"blobs: {most} stored bytes are used up.")
        blob = Blob(name=name, size=len(data), content_type=content_type, sha256=hashlib.sha256(data).hexdigest())
        self._staged[name] = (blob, data)
        return _told(blob)

    def get(self, args: list[Any]) -> dict[str, Any] | None:
        arguments.no_more(args, 1)
        name = arguments.key(args, name="name", longest=200)
        if name in self._staged:
            staged = self._staged[name]
            return None if staged is None else {**_told(staged[0]), "base64": base64.b64encode(staged[1]).decode()}
        blob = self.context.backend.blobs.head(self.context.plugin, name)
        if blob is None:
            return None
        try:
            data = self.context.backend.blobs.read(blob)
        except (FileNotFoundError, KeyError):
            # Another call replaced or removed it between row and bytes: what stands now counts. The same: it is lost.
            before, blob = blob, self.context.backend.blobs.head(self.context.plugin, name)
            if blob is None:
                return None
            if blob.file == before.file:
                raise
            data = self.context.backend.blobs.read(blob)
        return {**_told(blob), "base64": base64.b64encode(data).decode()}

    def head(self, args: list[Any]) -> dict[str, Any] | None:
        arguments.no_more(args, 1)
        name = arguments.key(args, name="name", longest=200)
        if name in self._staged:
            staged = self._staged[name]
            return None if staged is None else _told(staged[0])
        blob = self.context.backend.blobs.head(self.context.plugin, name)
        return None if blob is None else _told(blob)

    def delete(self, args: list[Any]) -> bool:
        present = self.head(args) is not None
        self._staged[args[0]] = None
        return present

    def page(self, args: list[Any]) -> dict[str, Any]:
        arguments.no_more(args, 1)
        options = arguments.options(args, 0, allowed=("prefix", "cursor", "limit"))
        prefix = arguments.checked_key(options["prefix"], name="prefix") if options.get("prefix") else ""
        after = arguments.checked_key(options["cursor"], name="cursor") if options.get("cursor") else None
        limit = arguments.whole(options.get("limit", 50), name="limit", least=1, most=100)
        stored = self.context.backend.blobs.scan(self.context.plugin, prefix, after, limit + 1 + len(self._staged))
        found = {blob.name: blob for blob in stored if blob.name not in self._staged}
        for name, staged in self._staged.items():
            if staged is not None and name.startswith(prefix) and (after is None or name > after):
                found[name] = staged[0]
        names = sorted(found)
        page = names[:limit]
        return {
            "items": [_told(found[name]) for name in page],
            "cursor": page[-1] if len(names) > limit else None,
        }

    def prepare(self) -> None:
        for name, staged in self._staged.items():
            if staged is not None:
                self._written[name] = self.context.backend.blobs.write(self.context.plugin, *staged)

    def commit(self) -> None:
        self._left_over = self.context.backend.blobs.apply(
            self.context.plugin,
            {name: self._written.get(name) for name in sorted(self._staged)},
            most_bytes=self.context.quantity("bytes", DEFAULT_BYTES),
            most_count=self.context.quantity("blobs", DEFAULT_COUNT),
            now_ms=self.context.call.now_ms,
        )

    def after_commit(self) -> None:
        self._stand = True

    def close(self) -> None:
        # Files of rows that stand are kept; those of a failed commit, and those that were replaced, go.
        gone = self._left_over if self._stand else [blob.file for blob in self._written.values()]
        for file in gone:
            self.context.backend.blobs.remove(file)


def _told(blob: Blob) -> dict[str, Any]:
    return {"name": blob.name, "size": blob.size, "contentType": blob.content_type, "sha256": blob.sha256}


class Blobs(Capability):
    """Files."""

    name = "blobs"
    summary = "Files of this plugin, of at most 1 MiB each."
    risk = "Keeps files of its own on this server."
    risk_level = "low"
    default_calls = 10
    quantities: ClassVar[dict[str, Any]] = {
        "bytes": {"type": "integer", "minimum": 1, "maximum": 1 << 30, "description": "Stored bytes in all."},
        "blobs": {"type": "integer", "minimum": 1, "maximum": 100_000, "description": "Stored files in all."},
    }
    handler = BlobsHandler
    operations: ClassVar[dict[str, Operation]] = {
        operation.name: operation
        for operation in (
            Operation(
                name="put",
                run=BlobsHandler.put,
                signature="put(name, base64, {contentType?}) → {name, size, contentType, sha256}",
                text="Keep a file, replacing the one before.",
            ),
            Operation(
                name="get",
                run=BlobsHandler.get,
                signature="get(name) → {name, size, contentType, sha256, base64} or null",
                text="A file with its bytes.",
            ),
            Operation(
                name="delete",
                run=BlobsHandler.delete,
                signature="delete(name) → boolean",
                text="Remove a file; tells whether it was there.",
            ),
            Operation(
                name="list",
                run=BlobsHandler.page,
                signature="list({prefix?, cursor?, limit?}) → {items, cursor}",
                text="Files in byte order of their names, without their bytes.",
            ),
            Operation(
                name="head",
                run=BlobsHandler.head,
                signature="head(name) → {name, size, contentType, sha256} or null",
                text="A file without its bytes.",
            ),
        )
    }

    def explain_quantities(self, grant: Any) -> list[str]:
        return [
            f"{amount(grant.get('blobs', DEFAULT_COUNT))} files",
            f"{size(grant.get('bytes', DEFAULT_BYTES))} stored",
        ]
