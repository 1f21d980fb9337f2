"""A text column that is compared byte by byte on every database, so that prefixes and cursors mean the same."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class BytewiseCharField(models.CharField):
    """``CharField`` with collation ``C`` on PostgreSQL; SQLite's default is bytewise already."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters
