"""A column that is encrypted where it lies."""

from __future__ import annotations

import logging
from typing import Any

from django.db import models

from zelavis import encryption
from zelavis.errors import ZelavisError

logger = logging.getLogger("zelavis")
#: What holds nothing worth hiding stands as it is.
EMPTY = "{}"


class Unreadable(str):
    """In place of an object that was sealed under another key: empty, told apart by its type.

    ``sealed`` is written back where the whole row is saved.
    """

    __slots__ = ("sealed",)
    sealed: str


class SealedObjectField(models.TextField):
    """A JSON object as text: plain in Python, sealed in the row. Cannot be searched."""

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Unreadable):
            return value.sealed
        text = super().get_prep_value(value)
        return text if text in (None, "", EMPTY) else encryption.seal(text)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """The plain text."""
        if value in (None, "", EMPTY):
            return value
        try:
            return encryption.unseal(value or "")
        except ZelavisError:
            # Whoever wants to use it refuses; whoever wants to set it again can.
            logger.warning("settings cannot be read with the present ZELAVIS_SECRET_KEY", extra={"column": self.name})
            unreadable = Unreadable(EMPTY)
            unreadable.sealed = value or ""
            return unreadable


__all__ = ["SealedObjectField", "Unreadable"]
