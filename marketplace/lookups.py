"""Conditions over very many rows, so that a database's planner chooses well without knowing how many match."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Case, F, Model, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

#: More keys than this are asked about while a list is walked, instead of looked up one by one.
FEW = 500
_M = TypeVar("_M", bound=Model)


def in_any(
    queryset: QuerySet[_M], column: str, keys: QuerySet[Any], *, or_: Q | None = None, negated: bool = False
) -> QuerySet[_M]:
    """Rows whose key column is one of ``keys`` (``negated``: none of them), or that ``or_`` holds for.

    Few keys are looked up; many are asked about while an index is walked in the list's order: collecting all matches
    and sorting them costs more the more there are.
    """
    few = list(keys[: FEW + 1])
    if len(few) <= FEW:
        condition = Q(**{f"{column}__in": few})
    else:
        # What a CASE asks has no index, and no planner makes a join of it: the keys are read once and kept beside.
        asked = f"asked_{column}_{len(queryset.query.annotations)}"
        queryset = queryset.alias(**{asked: Case(When(Q(**{f"{column}__in": keys}), then=1), default=0)})
        condition = Q(**{asked: 1})
    if negated:
        condition = ~condition
    found: QuerySet[_M] = queryset.filter(condition | or_ if or_ is not None else condition)
    return found


def unindexed(queryset: QuerySet[_M], column: str, value: str) -> QuerySet[_M]:
    """Rows whose text column has a value that most rows have: an index of it would be the wrong one to use."""
    asked = f"asked_{column}"
    found: QuerySet[_M] = queryset.alias(**{asked: Coalesce(F(column), Value(""))}).filter(**{asked: value})
    return found


def number(text: int | str) -> int | None:
    """A whole number as a row's key or revision is written; ``None``: it is none that there can be.

    ``str.isdigit`` alone says yes to raised digits and to numbers without end, which ``int`` refuses.
    """
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
