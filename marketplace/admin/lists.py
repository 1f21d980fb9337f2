"""Lists of the admin that stay fast with very many rows.

A page is found in two steps: the keys of at most :data:`MOST` rows, from an index that holds all that the list is
filtered and ordered by, and then the rows of one page. What lies deeper is reached by narrowing the list, or by going
on behind its last row.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import InvalidPage, Page, Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.http import urlencode

from zelavis.admin.readonly import ReadOnlyAdmin, real_id

#: Rows of a list that are counted and leafed through; behind them it goes on with another list.
MOST = 1000


class CappedPaginator(Paginator):
    """Pages of the first rows of a list."""

    #: A query, not any sequence.
    object_list: QuerySet[Any]

    @cached_property
    def keys(self) -> list[Any]:
        """Keys in the list's order, one more than is shown when there are more."""
        return list(self.object_list.values_list("pk", flat=True)[: MOST + 1])

    @cached_property
    def count(self) -> int:
        return min(len(self.keys), MOST)

    @property
    def more(self) -> bool:
        """Whether the list goes on behind what is shown."""
        return len(self.keys) > MOST

    def page(self, number: int | str) -> Page:
        number = self.validate_number(number)
        keys = self.keys[: self.count][(number - 1) * self.per_page : number * self.per_page]
        found = self.object_list.model._default_manager.filter(pk__in=keys)
        # With what the list joins and leaves out, without what it is filtered by: the keys are.
        found.query.select_related = self.object_list.query.select_related
        found.query.deferred_loading = self.object_list.query.deferred_loading
        rows = {row.pk: row for row in found} if keys else {}
        return Page([rows[key] for key in keys if key in rows], number, self)


class CappedList(ChangeList):
    """A list whose every offered order is that of an index."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """The column asked for where it is offered, or the default; then the key, in the same direction."""
        columns = self.model_admin.sortable_by or ()
        chosen = str((self.model_admin.get_ordering(request) or self.lookup_opts.ordering or ["pk"])[0])
        wanted = self.params.get("o", "")
        position = wanted.lstrip("-")
        if position.isascii() and position.isdigit() and int(position) < len(self.list_display):
            name = self.list_display[int(position)]
            if name in columns:
                chosen = ("-" if wanted.startswith("-") else "") + str(self.get_ordering_field(name))
        return [chosen, "-pk" if chosen.startswith("-") else "pk"]

    def get_results(self, request: HttpRequest) -> None:
        paginator = CappedPaginator(self.queryset, self.list_per_page)
        self.result_count, self.full_result_count = paginator.count, None
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = False, paginator.count > self.list_per_page
        try:
            self.result_list = paginator.page(self.page_num).object_list
        except InvalidPage:
            self.page_num = 1
            self.result_list = paginator.page(1).object_list
        self.paginator = paginator
        #: Where the list goes on; empty: nowhere.
        self.behind = ""
        if paginator.more:
            kept = {name: value for name, value in self.params.items() if name not in ("p", "behind")}
            self.behind = "?" + urlencode({**kept, "behind": paginator.keys[MOST - 1]})


class BehindFilter(admin.SimpleListFilter):
    """Only what comes behind a row, in the list's order. Offered by the list itself, below its last page."""

    title, parameter_name = "place", "behind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(self.parameter_name, "")
        return [(value, "Behind the last row seen")] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset  # where a row stands depends on the order, which is known later: see CappedAdmin


class CappedAdmin(ReadOnlyAdmin):
    """A read-only list of very many rows. ``sortable_by`` names the columns that have an index."""

    change_list_template = "admin/marketplace/capped_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Placed


class _Placed(CappedList):
    """A list that can begin behind a row."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        found = super().get_queryset(request, exclude_parameters)
        key = self.params.get("behind", "")
        row = self.root_queryset.filter(pk=real_id(key)).first() if _is_key(self.model, key) else None
        if row is None:
            return found.none() if key else found
        first, last = self.get_ordering(request, found)
        return found.filter(_after(first, getattr(row, first.lstrip("-")), row.pk, down=last.startswith("-")))


def _is_key(model: Any, key: str) -> bool:
    try:
        model._meta.pk.to_python(key)
    except (TypeError, ValueError, OverflowError, ValidationError):
        return False
    return bool(key) and "\0" not in key


def _after(first: str, value: Any, key: Any, *, down: bool) -> Q:
    """Rows behind one, as a range that an index can begin at."""
    column, sign = first.lstrip("-"), "lt" if down else "gt"
    return Q(**{f"{column}__{sign}e": value}) & (Q(**{f"{column}__{sign}": value}) | Q(**{f"pk__{sign}": key}))
