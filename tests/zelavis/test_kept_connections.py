"""Kept connections to PostgreSQL: believed while they are silent, replaced when the server ended them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import ConnectionHandler

from tests.services import PostgreSQL

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


@pytest.fixture
def kept(postgresql_server: PostgreSQL) -> Iterator[Any]:
    """A connection as the server keeps one, used once."""
    parts = urlsplit(postgresql_server.database("kept"))
    handler = ConnectionHandler(
        {
            "default": {
                "ENGINE": "zelavis.postgresql",
                "NAME": parts.path.strip("/"),
                "USER": parts.username,
                "HOST": parts.hostname,
                "PORT": str(parts.port),
                "CONN_MAX_AGE": 60,
                "CONN_HEALTH_CHECKS": True,
            }
        }
    )
    connection = handler["default"]
    _ask(connection)
    yield connection
    connection.close()


def _ask(connection: Any) -> tuple[int, list[str]]:
    """What a request does: the server's process that answered, and the statements that were sent."""
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *given: Any) -> Any:
        seen.append(sql)
        return execute(sql, *given)

    connection.close_if_unusable_or_obsolete()
    with connection.execute_wrapper(note), connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0], seen


def test_a_silent_connection_is_not_asked(kept: Any) -> None:
    """A request on a kept connection sends its own statements only, over the same connection."""
    first, _ = _ask(kept)
    second, seen = _ask(kept)
    assert first == second
    assert seen == ["SELECT pg_backend_pid()"]
    assert kept.is_usable()


def test_an_ended_connection_is_replaced(kept: Any, postgresql_server: PostgreSQL) -> None:
    """After the server ended it, or was restarted, the next request uses a new one without an error."""
    first, _ = _ask(kept)
    postgresql_server.terminate_connections()
    second, _ = _ask(kept)
    assert first != second
    postgresql_server.restart("fast")
    third, _ = _ask(kept)
    assert third != second


def test_news_that_is_no_end_is_asked_about(kept: Any, postgresql_server: PostgreSQL) -> None:
    """A connection on which a notification waits is asked, found good and kept."""
    import psycopg

    with kept.cursor() as cursor:
        cursor.execute("LISTEN told")
    first, _ = _ask(kept)
    with psycopg.connect(postgresql_server.url.replace("/postgres", "/kept"), autocommit=True) as other:
        other.execute("NOTIFY told")
    second, _ = _ask(kept)
    assert first == second


def test_a_connection_inside_a_broken_transaction_is_not_believed(kept: Any) -> None:
    """Only an idle connection is believed without asking."""
    kept.set_autocommit(False)
    with pytest.raises(Exception, match="does not exist"), kept.cursor() as cursor:
        cursor.execute("SELECT * FROM nothing")
    assert not kept.is_usable()
