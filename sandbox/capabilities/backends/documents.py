"""``documents`` in the database: the body in one row, each indexed field in one more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from sandbox.capabilities import queries
from sandbox.capabilities.backends.room import check_room
from sandbox.capabilities.backends.values import lock_usage, write_usage
from sandbox.capabilities.models import PluginDocument, PluginDocumentIndex
from sandbox.capabilities.queries import Condition, Query


class DatabaseDocuments:
    """The store of ``documents``."""

    def get(self, plugin: str, collection: str, key: str) -> str | None:
        rows = PluginDocument.objects.filter(plugin=plugin, collection=collection, key=key)
        return rows.values_list("body", flat=True).first()

    def find(
        self,
        plugin: str,
        collection: str,
        query: Query,
        limit: int,
        *,
        excluded: Sequence[str],
        fields: Sequence[str],
    ) -> list[tuple[str, str, str]]:
        rows = self._matching(plugin, collection, query, excluded, fields)
        sign = "-" if query.descending else ""
        if query.order is None:
            found = rows.order_by(f"{sign}key").values_list("key", "body")[:limit]
            return [("", key, body) for key, body in found]
        placed = rows.order_by(f"{sign}place", f"{sign}key")[:limit]
        return [(row.place, row.key, row.body) for row in placed]  # type: ignore[attr-defined]  # annotated

    def count(
        self, plugin: str, collection: str, query: Query, *, excluded: Sequence[str], fields: Sequence[str]
    ) -> int:
        return self._matching(plugin, collection, query, excluded, fields).count()

    def apply(
        self,
        plugin: str,
        changes: Sequence[tuple[str, str, str | None]],
        *,
        indexes: Mapping[str, Sequence[str]],
        most_bytes: int,
        most_count: int,
        now_ms: int,
    ) -> None:
        count, octets = before = lock_usage(plugin, "documents")
        for collection, key, text in changes:
            row = PluginDocument.objects.filter(plugin=plugin, collection=collection, key=key).first()
            if row is not None:
                count, octets = count - 1, octets - row.size
            if text is None:
                if row is not None:
                    row.delete()
                continue
            row = row or PluginDocument(plugin=plugin, collection=collection, key=key)
            row.body, row.size, row.updated_ms = text, len(text.encode()), now_ms
            row.indexed = json.dumps(sorted(indexes[collection]))
            row.save()
            _index([row], indexes[collection])
            count, octets = count + 1, octets + row.size
        check_room(
            before, (count, octets), most_bytes=most_bytes, most_count=most_count, store="documents", noun="documents"
        )
        write_usage(plugin, "documents", count, octets)

    def _matching(
        self, plugin: str, collection: str, query: Query, excluded: Sequence[str], fields: Sequence[str]
    ) -> QuerySet[PluginDocument]:
        rows = PluginDocument.objects.filter(plugin=plugin, collection=collection)
        if query.conditions or query.order:
            _reindex(rows, fields)
        for condition in query.conditions:
            rows = rows.filter(
                Exists(
                    PluginDocumentIndex.objects.filter(
                        _bounds(condition), document=OuterRef("pk"), field=condition.field
                    )
                )
            )
        if query.order is not None:
            place = PluginDocumentIndex.objects.filter(document=OuterRef("pk"), field=query.order).values("value")[:1]
            rows = rows.annotate(place=Subquery(place))
        if query.after is not None:
            value, key = query.after
            side = "lt" if query.descending else "gt"
            behind = Q(**{f"key__{side}": key})
            if query.order is not None:
                behind = Q(**{f"place__{side}": value}) | (Q(place=value) & behind)
            rows = rows.filter(behind)
        return rows.exclude(key__in=excluded) if excluded else rows


def _bounds(condition: Condition) -> Q:
    if condition.among is not None:
        return Q(value__in=condition.among)
    bounds = Q()
    if condition.low is not None:
        bounds &= Q(**{"value__gt" if condition.low_open else "value__gte": condition.low})
    if condition.high is not None:
        bounds &= Q(**{"value__lt" if condition.high_open else "value__lte": condition.high})
    return bounds


def _reindex(rows: QuerySet[PluginDocument], fields: Sequence[str]) -> None:
    """Make the index rows of documents that were written under other indexes (an update of the plugin)."""
    wanted = json.dumps(sorted(fields))
    stale = rows.exclude(indexed=wanted)
    while chunk := list(stale[:200]):
        with transaction.atomic():
            _index(chunk, fields)
            PluginDocument.objects.filter(pk__in=[row.pk for row in chunk]).update(indexed=wanted)


def _index(documents: Sequence[PluginDocument], fields: Sequence[str]) -> None:
    PluginDocumentIndex.objects.filter(document__in=documents).delete()
    PluginDocumentIndex.objects.bulk_create(
        PluginDocumentIndex(document=row, field=field, value=value)
        for row in documents
        for field, value in queries.encoded(row.body, fields).items()
    )
