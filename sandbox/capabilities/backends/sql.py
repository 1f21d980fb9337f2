"""Raw statements where every plugin call passes.

A statement through Django's cursor costs more than SQLite needs to carry it out. Here it goes to the driver's
connection where nobody is watching (no execute wrapper, no query log); errors are Django's in either case.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections


def execute(statement: str, parameters: Sequence[Any]) -> Any:
    """Execute one statement with ``%s`` for each parameter; gives a DB-API cursor.

    Raises:
        DatabaseError: as Django raises it.
    """
    django = connections[DEFAULT_DB_ALIAS]
    driver = django.connection
    if (
        driver is None
        or django.vendor != "sqlite"
        or django.execute_wrappers
        or django.needs_rollback
        or django.queries_logged
    ):
        cursor = django.cursor()
        cursor.execute(statement, parameters)
        return cursor
    with django.wrap_database_errors:
        return driver.execute(_marked(statement), parameters)


@functools.cache
def _marked(statement: str) -> str:
    return statement.replace("%s", "?")
