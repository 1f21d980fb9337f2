"""``content:read`` and ``content:write``: the site's own content, through sources that the core registers.

A source says which fields may be read, filtered by and written; a name that is not on its list does not exist for a
plugin, so nothing a guest sends becomes a database look-up by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django.core.exceptions import ValidationError

from sandbox.capabilities import arguments, wire
from sandbox.capabilities.base import Capability, Context, Handler, Operation
from sandbox.capabilities.faults import Fault, Refused

if TYPE_CHECKING:
    from sandbox.call import Call

#: How deep hooks may fire hooks: beyond, a plugin may not write content any more.
MAX_DEPTH = 2


class InvalidContent(Exception):
    """A source does not take these values; the message is for the plugin's author."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What plugins may see and change of one collection. Names are the plugin's (camelCase)."""

    readable: tuple[str, ...]
    filterable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()


class ContentSource(Protocol):
    """One collection of content. Called in the thread of the plugin's call."""

    @property
    def shape(self) -> Shape: ...

    def get(self, id: str) -> Mapping[str, Any] | None:  # noqa: A002  the name plugins use
        """``{"id": …, readable fields}``, or ``None``."""
        ...

    def list(self, *, where: Mapping[str, Any], after: str | None, limit: int) -> list[Mapping[str, Any]]:
        """Ordered by id; ``where`` holds filterable fields with plain values."""
        ...

    def judge(self, id: str | None, values: Mapping[str, Any] | None, *, call: Call) -> Mapping[str, Any]:  # noqa: A002
        """Before that transaction: whoever has a say is asked, and what they make of the values is given.

        ``id`` is ``None`` for a new item, ``values`` for one that goes. Raises :class:`InvalidContent` for a no.
        """
        ...

    def create(self, values: Mapping[str, Any], *, call: Call) -> str:
        """Inside the transaction that ends the call; gives the new id. Raises :class:`InvalidContent`."""
        ...

    def update(self, id: str, values: Mapping[str, Any], *, call: Call) -> None:  # noqa: A002
        """Inside the transaction that ends the call. Raises :class:`InvalidContent`."""
        ...

    def delete(self, id: str, *, call: Call) -> None:  # noqa: A002
        """Inside the transaction that ends the call."""
        ...


#: Collection name (``flatpages.flatpage``) to its source. Filled in ``AppConfig.ready``.
SOURCES: dict[str, ContentSource] = {}


def _source(context: Context, args: list[Any]) -> tuple[str, ContentSource]:
    name = arguments.text(args, 0, name="collection", longest=100)
    granted = context.grant.get("collections")
    if name not in SOURCES or (granted is not None and name not in granted):
        raise Refused("collection_not_granted", f"{context.capability.name}: {name} is not among the granted.")
    return name, SOURCES[name]


def _id(args: list[Any]) -> str:
    value = arguments.get(args, 1, name="id")
    return arguments.checked_key(str(value) if isinstance(value, int) else value, name="id", longest=100)


class ReadHandler(Handler):
    """Reads of one call; they see what the same call has written."""

    def get(self, args: list[Any]) -> Any:
        arguments.no_more(args, 2)
        name, source = _source(self.context, args)
        key = _id(args)
        written = self.context.shared.get("content", {}).get((name, key))
        if written is not None and written.gone:
            return None
        item = source.get(key)
        if item is None:
            return None
        return {**_shown(item, source.shape), **(written.values if written else {})}

    def page(self, args: list[Any]) -> dict[str, Any]:
        arguments.no_more(args, 2)
        _, source = _source(self.context, args)
        options = arguments.options(args, 1, allowed=("where", "cursor", "limit"))
        where = options.get("where") or {}
        if not isinstance(where, dict):
            raise arguments.invalid("where must be an object.")
        for field, value in where.items():
            if field not in source.shape.filterable:
                raise Fault("field_not_allowed", f"{field[:60]} cannot be filtered by.")
            if isinstance(value, (dict, list)):
                raise arguments.invalid("A filter is a plain value.")
        limit = arguments.whole(options.get("limit", 20), name="limit", least=1, most=100)
        after = options.get("cursor")
        if after is not None:
            arguments.checked_key(after, name="cursor", longest=100)
        try:
            items = source.list(where=where, after=after, limit=limit + 1)
        except (ValueError, TypeError, OverflowError, ValidationError):
            # A model's field says so when a value cannot be one of its own; without values it is the source's fault.
            if not where and after is None:
                raise
            raise arguments.invalid("A filter or the cursor is a value that its field cannot have.") from None
        page = [_shown(item, source.shape) for item in items[:limit]]
        return {"items": page, "cursor": str(page[-1]["id"]) if len(items) > limit else None}


def _shown(item: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    # The list is applied here again: a source that gives more than it declares gives nothing away.
    return {"id": str(item["id"]), **{name: item[name] for name in shape.readable if name in item}}


@dataclass(slots=True)
class _Written:
    values: dict[str, Any]
    new: bool = False
    gone: bool = False


class WriteHandler(Handler):
    """Changes of one call, applied through the source when the call ends ``ok``."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._written: dict[tuple[str, str], _Written] = context.shared.setdefault("content", {})
        self._created: list[tuple[str, dict[str, Any]]] = []

    @property
    def dirty(self) -> bool:
        return bool(self._written or self._created)

    def create(self, args: list[Any]) -> None:
        arguments.no_more(args, 2)
        name, source = self._target(args)
        self._created.append((name, self._values(args, 1, source)))

    def update(self, args: list[Any]) -> None:
        arguments.no_more(args, 3)
        name, source = self._target(args)
        key = _id(args)
        values = self._values(args, 2, source)
        before = self._written.get((name, key))
        if (before is not None and before.gone) or source.get(key) is None:
            raise Fault("not_found", f"There is no {name} {key}.")
        if before is None:
            self._written[name, key] = _Written(values)
        else:
            before.values.update(values)

    def delete(self, args: list[Any]) -> bool:
        arguments.no_more(args, 2)
        name, source = self._target(args)
        key = _id(args)
        before = self._written.get((name, key))
        if (before is not None and before.gone) or source.get(key) is None:
            return False
        self._written[name, key] = _Written({}, gone=True)
        return True

    def _target(self, args: list[Any]) -> tuple[str, ContentSource]:
        if self.context.call.depth >= MAX_DEPTH:
            raise Refused("depth_exceeded", f"Content that plugins write fires hooks at most {MAX_DEPTH} deep.")
        return _source(self.context, args)

    def _values(self, args: list[Any], position: int, source: ContentSource) -> dict[str, Any]:
        values = arguments.get(args, position, name="values")
        if not isinstance(values, dict) or not values:
            raise arguments.invalid("values must be an object with at least one member.")
        unknown = sorted(set(values) - set(source.shape.writable))
        if unknown:
            raise Fault("field_not_allowed", f"{', '.join(unknown)[:100]} cannot be written.")
        if len(wire.encode(values)) > 1 << 20:
            raise Fault("value_too_large", "values takes at most 1 MiB of JSON.")
        return values

    def prepare(self) -> None:
        """Ask who has a say; no transaction is open yet, and the guest has ended."""
        from sandbox.errors import CommitError

        call = self.context.call
        try:
            self._created = [
                (name, dict(SOURCES[name].judge(None, values, call=call))) for name, values in self._created
            ]
            for (name, key), written in self._written.items():
                judged = SOURCES[name].judge(key, None if written.gone else written.values, call=call)
                written.values = dict(judged)
        except InvalidContent as error:
            raise CommitError(f"The site does not take this content: {error}") from None

    def commit(self) -> None:
        from sandbox.errors import CommitError

        call = self.context.call
        try:
            for name, values in self._created:
                SOURCES[name].create(values, call=call)
            for (name, key), written in self._written.items():
                if written.gone:
                    SOURCES[name].delete(key, call=call)
                else:
                    SOURCES[name].update(key, written.values, call=call)
        except InvalidContent as error:
            raise CommitError(f"The site does not take this content: {error}") from None


_COLLECTIONS = {
    "collections": {
        "type": "array",
        "minItems": 1,
        "maxItems": 50,
        "uniqueItems": True,
        "items": {"type": "string", "maxLength": 100, "pattern": r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$"},
        "description": "Only these collections; absent: all of them.",
    }
}


def _explained(grant: Mapping[str, Any]) -> list[str]:
    named = grant.get("collections")
    return [f"only {', '.join(map(str, named))}" if named else "every collection"]


class ContentRead(Capability):
    """Reading content."""

    name = "content:read"
    summary = "The site's content: allowed fields of registered collections."
    risk = "Reads the site's content, whoever caused the call and whatever they may see themselves."
    risk_level = "medium"
    quantities: ClassVar[dict[str, Any]] = _COLLECTIONS
    handler = ReadHandler
    operations: ClassVar[dict[str, Operation]] = {
        "get": Operation(
            name="get",
            run=ReadHandler.get,
            signature="get(collection, id) → item or null",
            text="One item with its readable fields.",
        ),
        "list": Operation(
            name="list",
            run=ReadHandler.page,
            signature="list(collection, {where?, cursor?, limit?}) → {items, cursor}",
            text="Items by id, filtered by allowed fields for equality; as stored, without this call's own changes.",
        ),
    }

    def explain_quantities(self, grant: Mapping[str, Any]) -> list[str]:
        return _explained(grant)


class ContentWrite(Capability):
    """Changing content."""

    name = "content:write"
    summary = "Changes of the site's content: writable fields of registered collections."
    risk = "Creates, changes and deletes the site's content."
    risk_level = "high"
    default_calls = 10
    default_hourly = 1000
    quantities: ClassVar[dict[str, Any]] = _COLLECTIONS
    handler = WriteHandler
    operations: ClassVar[dict[str, Operation]] = {
        "create": Operation(
            name="create",
            run=WriteHandler.create,
            signature="create(collection, values) → null",
            text="A new item, made when the call ends.",
        ),
        "update": Operation(
            name="update",
            run=WriteHandler.update,
            signature="update(collection, id, values) → null",
            text="Change writable fields, when the call ends.",
        ),
        "delete": Operation(
            name="delete",
            run=WriteHandler.delete,
            signature="delete(collection, id) → boolean",
            text="Delete an item, when the call ends; tells whether it was there.",
        ),
    }

    def explain_quantities(self, grant: Mapping[str, Any]) -> list[str]:
        return _explained(grant)
