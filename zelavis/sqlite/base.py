"""SQLite with one writer at a time per process.

SQLite's own busy handler sleeps between tries: sixteen threads that write at once waited up to 366 ms at p99, and
30 ms with an in-process lock in front (``docs/reference/performance.md``). Writers of other processes still meet
in the busy handler.
"""

from __future__ import annotations

import threading
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

_writers: dict[str, threading.Lock] = {}
_registry = threading.Lock()


def _lock_of(name: str) -> threading.Lock:
    with _registry:
        return _writers.setdefault(name, threading.Lock())


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's SQLite backend; a transaction first takes the process's write lock of its file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writes = False

    def _start_transaction_under_autocommit(self) -> None:
        if not self._writes:
            timeout = float(self.settings_dict["OPTIONS"].get("timeout", 20))
            if not _lock_of(str(self.settings_dict["NAME"])).acquire(timeout=timeout):
                raise OperationalError("database is locked")
            self._writes = True
        try:
            mode: str | None = getattr(self, "transaction_mode", None)
            if self.execute_wrappers or self.queries_logged or mode is None:
                super()._start_transaction_under_autocommit()  # type: ignore[misc]
            else:
                # Where nobody watches, without Django's cursor: it costs more than the transaction.
                with self.wrap_database_errors:
                    self.connection.execute(f"BEGIN {mode}")
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        if self._writes:
            self._writes = False
            _lock_of(str(self.settings_dict["NAME"])).release()

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._release()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._release()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._release()
