"""``object``: one record per key, and one call at a time per key.

The first touch of a key takes its lock; the call holds it to its end, so reading, deciding and writing is one step
for everybody. The lock is a lease on a row: it outlives no call, and a commit whose lease was lost is refused.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from sandbox.capabilities import arguments, wire
from sandbox.capabilities.base import Capability, Context, Handler, Operation, amount, size
from sandbox.capabilities.faults import Fault, Refused

MAX_VALUE = 131_072
DEFAULT_BYTES = 1 << 20
DEFAULT_KEYS = 200
#: How many keys one call may hold.
MAX_HELD = 8
#: How long a lease outlasts the deadline of its call, in seconds.
_GRACE = 5.0


class ObjectHandler(Handler):
    """The keys one call holds."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._held: dict[str, str | None] = {}
        self._changed: set[str] = set()

    @property
    def dirty(self) -> bool:
        return bool(self._changed)

    def get(self, args: list[Any]) -> Any:
        arguments.no_more(args, 1)
        text = self._hold(arguments.key(args))
        return None if text is None else wire.decode_text(text)

    def put(self, args: list[Any]) -> None:
        arguments.no_more(args, 2)
        key = arguments.key(args)
        value = arguments.get(args, 1, name="value")
        if value is None:
            raise arguments.invalid("value must not be null; use delete.")
        text = wire.encode(value)
        if len(text.encode()) > MAX_VALUE:
            raise Fault("value_too_large", f"A record takes at most {MAX_VALUE} bytes of JSON.")
        self._hold(key)
        self._held[key] = text
        self._changed.add(key)

    def delete(self, args: list[Any]) -> bool:
        arguments.no_more(args, 1)
        key = arguments.key(args)
        present = self._hold(key) is not None
        self._held[key] = None
        self._changed.add(key)
        return present

    def _hold(self, key: str) -> str | None:
        if key in self._held:
            return self._held[key]
        if len(self._held) >= MAX_HELD:
            raise Refused("quota_exceeded", f"object: a call may hold {MAX_HELD} keys.")
        pause = 0.001
        while True:
            taken, text = self.context.backend.objects.take(
                self.context.plugin, key, self.context.call.id, seconds=self.context.remaining() + _GRACE
            )
            if taken:
                self._held[key] = text
                return text
            # The last fifth of a call's time is left to it: it can still answer that the record was busy.
            if self.context.remaining() <= pause + 0.02:
                raise Fault("object_busy", f"The record {key[:60]} is held by another call.")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def commit(self) -> None:
        self.context.backend.objects.apply(
            self.context.plugin,
            {key: self._held[key] for key in sorted(self._changed)},
            owner=self.context.call.id,
            most_bytes=self.context.quantity("bytes", DEFAULT_BYTES),
            most_count=self.context.quantity("keys", DEFAULT_KEYS),
            now_ms=self.context.call.now_ms,
        )

    def close(self) -> None:
        if self._held:
            self.context.backend.objects.release(self.context.plugin, list(self._held), self.context.call.id)


class Object(Capability):
    """Serialised records."""

    name = "object"
    summary = "One record per key, one call at a time per key."
    risk = "Keeps data of its own on this server."
    risk_level = "low"
    quantities: ClassVar[dict[str, Any]] = {
        "bytes": {"type": "integer", "minimum": 1, "maximum": 64 << 20, "description": "Stored bytes in all."},
        "keys": {"type": "integer", "minimum": 1, "maximum": 100_000, "description": "Stored records in all."},
    }
    handler = ObjectHandler
    operations: ClassVar[dict[str, Operation]] = {
        operation.name: operation
        for operation in (
            Operation(
                name="get",
                run=ObjectHandler.get,
                signature="get(key) → value or null",
                text="Take the record's lock until the end of the call, and read it.",
            ),
            Operation(
                name="put",
                run=ObjectHandler.put,
                signature="put(key, value) → null",
                text="Write the record, under its lock.",
            ),
            Operation(
                name="delete",
                run=ObjectHandler.delete,
                signature="delete(key) → boolean",
                text="Remove the record, under its lock; tells whether it was there.",
            ),
        )
    }

    def explain_quantities(self, grant: Any) -> list[str]:
        return [
            f"{amount(grant.get('keys', DEFAULT_KEYS))} records",
            f"{size(grant.get('bytes', DEFAULT_BYTES))} stored",
        ]
