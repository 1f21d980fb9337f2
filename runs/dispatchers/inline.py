"""The ``inline`` dispatcher: a Python function of this server, replayed from the journal in the driver's thread."""

from __future__ import annotations

import logging
from typing import Any

from runs import states
from runs.authoring.context import Context
from runs.authoring.failures import Compensate, Parked, serialized
from runs.dispatchers.base import TenantError
from runs.errors import DeterminismError
from runs.held import Held
from runs.jsontext import ABSENT, copied, dumps
from runs.protocol import StepResponse
from runs.registry import Workflow

logger = logging.getLogger("runs.inline")


class InlineDispatcher:
    """See :mod:`runs.authoring` for what the function may do."""

    name = "inline"

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def dispatch(self, held: Held) -> StepResponse:
        """See :class:`runs.dispatchers.base.Dispatcher`."""
        context = Context(held, durable_steps=self._workflow.durability == "step")
        given = None if held.input is ABSENT else copied(held.input)
        try:
            return self._pass(context, given)
        except DeterminismError as error:
            # Trying again would take the same wrong way.
            raise TenantError(error.code, error.message, status=500, permanent=True) from error

    def _pass(self, context: Context, given: Any) -> StepResponse:
        try:
            output = self._workflow.function(context, given)
            dumps(output).encode("utf-8")
        except Parked:
            return context.finished(states.WAITING)
        except Compensate:
            return self._undo(context, None)
        except DeterminismError:
            raise
        except Exception as error:  # noqa: BLE001  the body is the author's code; whatever it raises is its result
            if context.waits:
                return context.finished(states.WAITING)
            return self._undo(context, serialized(error))
        # A wait that the body swallowed still counts.
        if context.waits:
            return context.finished(states.WAITING)
        return context.finished(states.COMPLETED, output=output)

    def _undo(self, context: Context, error: dict[str, Any] | None) -> StepResponse:
        reports = context.undo()
        if not reports and error is not None:
            return context.finished(states.FAILED, error=error)
        failed = any(report["status"] == "err" for report in reports)
        status = states.COMPENSATION_FAILED if failed else states.COMPENSATED
        return context.finished(status, error=error)
