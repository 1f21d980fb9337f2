"""What every dispatcher is: a held run in, a believed answer out."""

from __future__ import annotations

from typing import Protocol

from runs.held import Held
from runs.protocol import StepResponse


class TenantError(Exception):
    """The tenant could not be asked, or refused. ``permanent``: asking again cannot help."""

    def __init__(
        self, code: str, message: str, *, status: int, permanent: bool = False, retry_after: float | None = None
    ) -> None:
        self.code = code
        self.message = message[:2000]
        self.status = status
        self.permanent = permanent
        self.retry_after = retry_after
        super().__init__(self.message)


class Dispatcher(Protocol):
    """Asks the code of a workflow to go as far as it gets."""

    @property
    def name(self) -> str:
        """Shown in the admin and by ``why``."""
        ...

    def dispatch(self, held: Held) -> StepResponse:
        """One invocation.

        Raises:
            TenantError: no answer, or not the answer of a step handler.
            runs.errors.ProtocolError: a 200 that is not a step response.
            runs.errors.LostClaim: the run was taken away meanwhile.
        """
        ...
