"""SQLite with many writers."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection, transaction

from zelavis.models import Heartbeat

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="about SQLite"),
]


def test_threads_that_read_and_then_write_never_find_it_locked() -> None:
    """Eight threads that each read, wait and write in one transaction all succeed, and no count is lost."""
    from django.utils import timezone

    Heartbeat.objects.create(name="count", seen_at=timezone.now(), detail="0")
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(5):
                with transaction.atomic():
                    row = Heartbeat.objects.get(name="count")
                    time.sleep(0.001)
                    row.detail = str(int(row.detail) + 1)
                    row.save()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Heartbeat.objects.get(name="count").detail == "40"


def test_the_lock_is_given_back_after_an_error() -> None:
    """A transaction that fails, also by a broken statement, leaves the way free for the next thread."""
    from django.db import DatabaseError

    for _ in range(2):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT nonsense")
    done = threading.Event()

    def write() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM zelavis_heartbeat")
        connection.close()
        done.set()

    threading.Thread(target=write).start()
    assert done.wait(5)
