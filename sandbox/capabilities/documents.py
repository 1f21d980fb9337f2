"""``documents``: collections of JSON documents with declared indexes."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.capabilities import arguments, queries, wire
from sandbox.capabilities.base import Capability, Context, Handler, Operation, amount, size
from sandbox.capabilities.faults import Fault, Refused

MAX_DOCUMENT = 131_072
DEFAULT_BYTES = 4 << 20
DEFAULT_COUNT = 2000
_FIELD = r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,3}$"


class DocumentsHandler(Handler):
    """The overlay of one call over the stored documents."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        declared = context.grant.get("collections", {})
        self._indexes: dict[str, tuple[str, ...]] = {
            name: tuple(entry.get("indexes", ())) for name, entry in declared.items()
        }
        self._staged: dict[tuple[str, str], str | None] = {}

    @property
    def dirty(self) -> bool:
        return bool(self._staged)

    def get(self, args: list[Any]) -> Any:
        arguments.no_more(args, 2)
        collection, key = self._collection(args), arguments.key(args, 1, name="id", longest=200)
        text = self._text(collection, key)
        return None if text is None else wire.decode_text(text)

    def put(self, args: list[Any]) -> None:
        arguments.no_more(args, 3)
        collection, key = self._collection(args), arguments.key(args, 1, name="id", longest=200)
        document = arguments.get(args, 2, name="document")
        if not isinstance(document, dict):
            raise arguments.invalid("document must be an object.")
        text = wire.encode(document)
        if len(text.encode()) > MAX_DOCUMENT:
            raise Fault("value_too_large", f"A document takes at most {MAX_DOCUMENT} bytes of JSON.")
        self._check_room(text)
        self._staged[collection, key] = text

    def delete(self, args: list[Any]) -> bool:
        arguments.no_more(args, 2)
        collection, key = self._collection(args), arguments.key(args, 1, name="id", longest=200)
        present = self._text(collection, key) is not None
        self._staged[collection, key] = None
        return present

    def query(self, args: list[Any]) -> dict[str, Any]:
        arguments.no_more(args, 2)
        collection = self._collection(args)
        options = arguments.options(args, 1, allowed=("where", "orderBy", "direction", "limit", "cursor"))
        query = queries.read(options, self._indexes[collection])
        found = self._find(collection, query, query.limit + 1)
        page = found[: query.limit]
        return {
            "items": [{"id": key, "data": wire.decode_text(text)} for _, key, text in page],
            "cursor": queries.cursor_of(page[-1][0], page[-1][1]) if len(found) > query.limit else None,
        }

    def count(self, args: list[Any]) -> int:
        arguments.no_more(args, 2)
        collection = self._collection(args)
        query = queries.read({"where": arguments.get(args, 1, None, name="where")}, self._indexes[collection])
        own = self._own(collection, query)
        excluded = [key for name, key in self._staged if name == collection]
        return len(own) + self.context.backend.documents.count(
            self.context.plugin, collection, query, excluded=excluded, fields=self._indexes[collection]
        )

    def _find(self, collection: str, query: queries.Query, limit: int) -> list[tuple[str, str, str]]:
        excluded = [key for name, key in self._staged if name == collection]
        rows = self.context.backend.documents.find(
            self.context.plugin, collection, query, limit, excluded=excluded, fields=self._indexes[collection]
        )
        merged = rows + self._own(collection, query)
        merged.sort(key=lambda row: row[:2], reverse=query.descending)
        return merged[:limit]

    def _own(self, collection: str, query: queries.Query) -> list[tuple[str, str, str]]:
        """The documents this call wrote that the query finds."""
        found = []
        for (name, key), text in self._staged.items():
            if name != collection or text is None:
                continue
            row = matching(key, text, query, self._indexes[collection])
            if row is not None:
                found.append(row)
        return found

    def _collection(self, args: list[Any]) -> str:
        name = arguments.text(args, 0, name="collection", longest=64)
        if name not in self._indexes:
            raise Refused("collection_not_declared", f"The manifest declares no collection {name}.")
        return name

    def _text(self, collection: str, key: str) -> str | None:
        if (collection, key) in self._staged:
            return self._staged[collection, key]
        return self.context.backend.documents.get(self.context.plugin, collection, key)

    def _room(self) -> tuple[int, int]:
        return self.context.quantity("bytes", DEFAULT_BYTES), self.context.quantity("documents", DEFAULT_COUNT)

    def _check_room(self, text: str) -> None:
        # A first look; what a document replaces is counted when the call ends.
        most_bytes, most_count = self._room()
        _, octets = self.context.backend.usage(self.context.plugin, "documents")
        own = sum(len(staged.encode()) for staged in self._staged.values() if staged)
        if len(text.encode()) + own > most_bytes or octets > most_bytes:
            raise Refused("quota_exceeded", f"documents: {most_bytes} stored bytes are used up.")
        if sum(1 for staged in self._staged.values() if staged) >= most_count:
            raise Refused("quota_exceeded", f"documents: {most_count} documents are used up.")

    def commit(self) -> None:
        most_bytes, most_count = self._room()
        self.context.backend.documents.apply(
            self.context.plugin,
            [(collection, key, text) for (collection, key), text in sorted(self._staged.items())],
            indexes=self._indexes,
            most_bytes=most_bytes,
            most_count=most_count,
            now_ms=self.context.call.now_ms,
        )


def matching(key: str, text: str, query: queries.Query, fields: Any) -> tuple[str, str, str] | None:
    """``(order value, id, text)`` when the query finds this document, else ``None``."""
    values = queries.encoded(text, fields)
    if not all(condition.holds(values[condition.field]) for condition in query.conditions):
        return None
    place = (values[query.order] if query.order else "", key)
    if query.after is not None and (place >= query.after if query.descending else place <= query.after):
        return None
    return (*place, text)


class Documents(Capability):
    """Collections of documents."""

    name = "documents"
    summary = "Collections of JSON documents of this plugin, with declared indexes, queries and cursors."
    risk = "Keeps data of its own on this server."
    risk_level = "low"
    required = ("collections",)
    quantities: ClassVar[dict[str, Any]] = {
        "collections": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 20,
            "propertyNames": {"pattern": "^[a-z][a-zA-Z0-9_-]{0,62}$"},
            "description": "The plugin's collections by name.",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "indexes": {
                        "description": "Fields by which documents may be found and ordered.",
                        "type": "array",
                        "maxItems": 10,
                        "uniqueItems": True,
                        "items": {"type": "string", "maxLength": 100, "pattern": _FIELD},
                    }
                },
            },
        },
        "bytes": {"type": "integer", "minimum": 1, "maximum": 256 << 20, "description": "Stored bytes in all."},
        "documents": {"type": "integer", "minimum": 1, "maximum": 100_000, "description": "Stored documents in all."},
    }
    handler = DocumentsHandler
    operations: ClassVar[dict[str, Operation]] = {
        operation.name: operation
        for operation in (
            Operation(
                name="put",
                run=DocumentsHandler.put,
                signature="put(collection, id, document) → null",
                text="Keep a document, replacing the one before.",
            ),
            Operation(
                name="get",
                run=DocumentsHandler.get,
                signature="get(collection, id) → document or null",
                text="One document.",
            ),
            Operation(
                name="delete",
                run=DocumentsHandler.delete,
                signature="delete(collection, id) → boolean",
                text="Remove a document; tells whether it was there.",
            ),
            Operation(
                name="query",
                run=DocumentsHandler.query,
                signature="query(collection, {where?, orderBy?, direction?, limit?, cursor?}) → {items, cursor}",
                text="Documents by indexed fields: equality, gt, gte, lt, lte, in, startsWith, all of them together.",
            ),
            Operation(
                name="count",
                run=DocumentsHandler.count,
                signature="count(collection, where?) → number",
                text="How many documents a query would find.",
            ),
        )
    }

    def explain_quantities(self, grant: Any) -> list[str]:
        return [
            f"{amount(grant.get('documents', DEFAULT_COUNT))} documents",
            f"{size(grant.get('bytes', DEFAULT_BYTES))} stored",
        ]
