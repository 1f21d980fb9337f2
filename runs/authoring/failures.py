"""What a workflow's body may raise or catch."""

from __future__ import annotations

import traceback
from typing import Any

_STACK_CHARACTERS = 4000


class Fatal(Exception):
    """Raised in a step: trying again cannot help."""

    code = "FATAL"


class Retryable(Exception):
    """Raised in a step: try again, after ``retry_after`` seconds when given."""

    code = "RETRYABLE"

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StepFailed(Exception):
    """A step failed for good. The same on the first pass and on every replay."""

    def __init__(self, step: str, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", ""))
        self.step = step
        self.error = error
        self.code = str(error.get("code", "UNKNOWN"))


class ChildFailed(Exception):
    """A child run ended in another state than ``completed``."""

    def __init__(self, workflow: str, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", ""))
        self.workflow = workflow
        self.error = error
        self.code = str(error.get("code", "CHILD_RUN_ENDED"))


class WaitTimeout(Exception):
    """A wait with ``on_timeout="raise"`` was not answered in time."""

    code = "TIMEOUT"


class Parked(BaseException):
    """The body has to wait. Not an ``Exception``, so that ``except Exception`` lets it pass."""


class Compensate(BaseException):
    """``context.compensate()``: undo what was registered and end without an error."""


def serialized(error: BaseException) -> dict[str, Any]:
    """The wire's form of an exception."""
    if isinstance(error, StepFailed | ChildFailed):
        return error.error
    code = getattr(error, "code", None)
    return {
        "category": "USER_ERROR",
        "code": code if isinstance(code, str) and code else "UNKNOWN",
        "message": _plain(str(error) or type(error).__name__),
        "name": type(error).__name__,
        "stack": _plain("".join(traceback.format_exception(error))[-_STACK_CHARACTERS:]),
    }


def _plain(text: str) -> str:
    """Text that a database and a JSON reader take."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\\0")
