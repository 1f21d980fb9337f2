"""``kv``: values by key, of this plugin alone.

Reads see the call's own writes and are repeatable within the call. ``increment`` is kept as a difference and adds up
under concurrency; ``compareAndSet`` is checked again when the call ends, and fails the call with ``conflict`` when
another one was faster. A plain ``set`` is last writer wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.capabilities import arguments, wire
from sandbox.capabilities.backends.protocol import ANYTHING, Entry, ValueChange
from sandbox.capabilities.base import Capability, Context, Handler, Operation, amount, size
from sandbox.capabilities.faults import Fault, Refused

#: Largest value, in bytes of JSON.
MAX_VALUE = 65_536
#: Stored bytes and keys of a plugin, where its manifest says nothing.
DEFAULT_BYTES = 1 << 20
DEFAULT_KEYS = 1000
#: Longest time to live: a year.
MAX_TTL = 366 * 24 * 3600


@dataclass(slots=True)
class _Staged:
    """What this call did to one key. ``guard`` is what must still be stored when the call ends."""

    #: The value as this call sees it; ``None``: absent.
    text: str | None
    expires_ms: int | None
    guard: Any = ANYTHING
    #: Only added to: the sum, applied to whatever is stored at the end.
    delta: int | None = None


class KvHandler(Handler):
    """The overlay of one call over the stored values."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._read: dict[str, Entry | None] = {}
        self._staged: dict[str, _Staged] = {}
        self._usage: tuple[int, int] | None = None
        self._room = (context.quantity("bytes", DEFAULT_BYTES), context.quantity("keys", DEFAULT_KEYS))

    @property
    def dirty(self) -> bool:
        return bool(self._staged)

    # -- operations ----------------------------------------------------------------------------------------------

    def get(self, args: list[Any]) -> Any:
        arguments.no_more(args, 1)
        text = self._text(arguments.key(args))
        return None if text is None else wire.Encoded(text)

    def set(self, args: list[Any]) -> None:
        arguments.no_more(args, 3)
        key = arguments.key(args)
        text = _value_text(args, 1)
        self._stage(key, _Staged(text, self._expires(args, 2), guard=self._guard(key)))

    def delete(self, args: list[Any]) -> bool:
        arguments.no_more(args, 1)
        key = arguments.key(args)
        present = self._text(key) is not None
        self._stage(key, _Staged(None, None, guard=self._guard(key)))
        return present

    def increment(self, args: list[Any]) -> int:
        arguments.no_more(args, 3)
        key = arguments.key(args)
        safe = arguments.SAFE_INTEGER
        by = arguments.whole(arguments.get(args, 1, 1, name="by"), name="by", least=-safe, most=safe)
        options = arguments.options(args, 2, allowed=("ttlSeconds",))
        text = self._text(key)
        value = 0 if text is None else wire.decode_text(text)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Fault("not_a_number", "increment needs a whole number or an absent key.")
        total = value + by
        if abs(total) > safe:
            raise Fault("not_a_number", "The sum is beyond the whole numbers that JavaScript counts exactly.")
        before = self._staged.get(key)
        expires = self._expires(args, 2) if options else self._expiry(key)
        if before is None:
            staged = _Staged(str(total), expires, delta=by)
        elif before.delta is not None:
            staged = _Staged(str(total), expires, delta=before.delta + by)
        else:
            staged = _Staged(str(total), expires, guard=before.guard)
        self._stage(key, staged)
        return total

    def compare_and_set(self, args: list[Any]) -> bool:
        arguments.no_more(args, 4)
        key = arguments.key(args)
        expected = arguments.get(args, 1, name="expected")
        text = _value_text(args, 2)
        present = self._text(key)
        seen = None if present is None else wire.decode_text(present)
        if wire.canonical(seen) != wire.canonical(expected):
            return False
        before = self._staged.get(key)
        entry = self._read.get(key)
        # What is stored now must still be stored when the call ends; after a set of this call it is ours to change.
        guard = before.guard if before is not None and before.delta is None else entry.text if entry else None
        self._stage(key, _Staged(text, self._expires(args, 3), guard=guard))
        return True

    def page(self, args: list[Any]) -> dict[str, Any]:
        arguments.no_more(args, 1)
        if args and isinstance(args[0], str):
            args = [{"prefix": args[0]}]
        options = arguments.options(args, 0, allowed=("prefix", "cursor", "limit"))
        prefix = options.get("prefix") or ""
        if prefix:
            arguments.checked_key(prefix, name="prefix")
        after = options.get("cursor")
        if after is not None:
            arguments.checked_key(after, name="cursor")
        limit = arguments.whole(options.get("limit", 50), name="limit", least=1, most=100)
        rows = self.context.backend.values.scan(
            self.context.plugin, prefix, after, limit + 1 + len(self._staged), now_ms=self.context.call.now_ms
        )
        full = len(rows) == limit + 1 + len(self._staged)
        found = {key: self._read.setdefault(key, entry) for key, entry in rows}
        last = rows[-1][0] if full else None
        texts = {key: entry.text for key, entry in found.items() if entry is not None}
        for key, staged in self._staged.items():
            # Beyond the last row read, stored keys were not seen: an own key there would come too early.
            if key.startswith(prefix) and (after is None or key > after) and (last is None or key <= last):
                texts.pop(key, None)
                if staged.text is not None:
                    texts[key] = staged.text
        keys = sorted(texts)
        page = keys[:limit]
        more = len(keys) > limit or full
        return {
            "items": [{"key": key, "value": wire.decode_text(texts[key])} for key in page],
            "cursor": page[-1] if more and page else None,
        }

    # -- the overlay ---------------------------------------------------------------------------------------------

    def _entry(self, key: str) -> Entry | None:
        if key not in self._read:
            self._read[key] = self.context.backend.values.get(self.context.plugin, key, now_ms=self.context.call.now_ms)
        return self._read[key]

    def _text(self, key: str) -> str | None:
        staged = self._staged.get(key)
        if staged is not None:
            return staged.text
        entry = self._entry(key)
        return None if entry is None else entry.text

    def _expiry(self, key: str) -> int | None:
        staged = self._staged.get(key)
        if staged is not None:
            return staged.expires_ms
        entry = self._entry(key)
        return None if entry is None else entry.expires_ms

    def _guard(self, key: str) -> Any:
        before = self._staged.get(key)
        return ANYTHING if before is None else before.guard

    def _expires(self, args: list[Any], position: int) -> int | None:
        options = arguments.options(args, position, allowed=("ttlSeconds",))
        if options.get("ttlSeconds") is None:
            return None
        seconds = arguments.whole(options["ttlSeconds"], name="ttlSeconds", least=1, most=MAX_TTL)
        return self.context.call.now_ms + seconds * 1000

    def _stage(self, key: str, staged: _Staged) -> None:
        before = self._staged.get(key)
        self._staged[key] = staged
        try:
            if staged.text is not None and not self._shrinks(key, staged.text):
                self._check_room()
        except Refused:
            if before is None:
                del self._staged[key]
            else:
                self._staged[key] = before
            raise

    def _shrinks(self, key: str, text: str) -> bool:
        """Whether it is known, without asking the store, that a value takes no more room than the one before."""
        entry = self._read.get(key)
        return entry is not None and len(text.encode()) <= len(entry.text.encode())

    def _check_room(self) -> None:
        most_bytes, most_keys = self._room
        if self._usage is None:
            self._usage = self.context.backend.usage(self.context.plugin, "kv")
        count, octets = self._usage
        written = {key: staged for key, staged in self._staged.items() if staged.text is not None}
        upper = octets + sum(_size(key, staged.text) for key, staged in written.items())
        if upper <= most_bytes and count + len(written) <= most_keys:
            return
        # Near the limit: now it matters what the written keys replace, and what has expired goes first.
        gone, freed = self.context.backend.values.expired(self.context.plugin, now_ms=self.context.call.now_ms)
        count, octets = count - gone, octets - freed
        for key, staged in self._staged.items():
            entry = self._entry(key)
            if entry is not None:
                octets -= _size(key, entry.text)
                count -= 1
            if staged.text is not None:
                octets += _size(key, staged.text)
                count += 1
        if octets > most_bytes:
            raise Refused("quota_exceeded", f"kv: {most_bytes} stored bytes are used up.")
        if count > most_keys:
            raise Refused("quota_exceeded", f"kv: {most_keys} keys are used up.")

    def commit(self) -> None:
        context = self.context
        most_bytes, most_keys = self._room
        changes = [
            ValueChange(key, staged.text, staged.expires_ms, staged.guard, staged.delta, self._read.get(key))
            for key, staged in sorted(self._staged.items())
        ]
        context.backend.values.apply(
            context.call.plugin, changes, most_bytes=most_bytes, most_keys=most_keys, now_ms=context.call.now_ms
        )


def _value_text(args: list[Any], position: int) -> str:
    value = arguments.get(args, position, name="value")
    if value is None:
        raise arguments.invalid("value must not be null; use delete.")
    text = wire.encode(value)
    if len(text.encode()) > MAX_VALUE:
        raise Fault("value_too_large", f"A value takes at most {MAX_VALUE} bytes of JSON.")
    return text


def _size(key: str, text: str | None) -> int:
    return len(key.encode()) + len((text or "").encode())


class Kv(Capability):
    """Values by key."""

    name = "kv"
    summary = "Values by key, of this plugin alone, with expiry, counters and compare-and-set."
    risk = "Keeps data of its own on this server."
    risk_level = "low"
    quantities: ClassVar[dict[str, Any]] = {
        "bytes": {"type": "integer", "minimum": 1, "maximum": 64 << 20, "description": "Stored bytes in all."},
        "keys": {"type": "integer", "minimum": 1, "maximum": 100_000, "description": "Stored keys in all."},
    }
    handler = KvHandler
    operations: ClassVar[dict[str, Operation]] = {
        operation.name: operation
        for operation in (
            Operation(
                name="get",
                run=KvHandler.get,
                signature="get(key) → value or null",
                text="The value of a key.",
            ),
            Operation(
                name="set",
                run=KvHandler.set,
                signature="set(key, value, {ttlSeconds?}) → null",
                text="Keep a value; last writer wins.",
            ),
            Operation(
                name="delete",
                run=KvHandler.delete,
                signature="delete(key) → boolean",
                text="Remove a key; tells whether it was there.",
            ),
            Operation(
                name="list",
                run=KvHandler.page,
                signature="list(prefix or {prefix?, cursor?, limit?}) → {items: [{key, value}], cursor}",
                text="Keys in byte order, at most 100 at a time; a cursor of null ends it.",
            ),
            Operation(
                name="increment",
                run=KvHandler.increment,
                signature="increment(key, by = 1, {ttlSeconds?}) → number",
                text="Add to a whole number; sums of calls at the same time add up.",
            ),
            Operation(
                name="compareAndSet",
                run=KvHandler.compare_and_set,
                signature="compareAndSet(key, expected, value, {ttlSeconds?}) → boolean",
                text="Set only when the value is the expected one; expected null means absent.",
            ),
        )
    }

    def explain_quantities(self, grant: Any) -> list[str]:
        return [
            f"{size(grant.get('bytes', DEFAULT_BYTES))} stored",
            f"{amount(grant.get('keys', DEFAULT_KEYS))} keys",
        ]
