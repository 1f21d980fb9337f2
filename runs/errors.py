"""What can go wrong with a run, as told to whoever asked."""

from __future__ import annotations

from zelavis.errors import ZelavisError


class WorkflowNotFound(ZelavisError):
    """No workflow of this name is known here, and no tenant is configured that could know it."""

    code = "workflow_not_found"
    status = 404


class NotParked(ZelavisError):
    """The run is not waiting, so nothing can be injected now."""

    code = "not_parked"
    status = 409


class NoMatch(ZelavisError):
    """The run waits for something else."""

    code = "no_match"
    status = 400


class AlreadyTerminal(ZelavisError):
    """The run has ended."""

    code = "already_terminal"
    status = 409


class ResumeFailed(ZelavisError):
    """The run cannot be resumed as asked."""

    code = "resume_failed"
    status = 400


class ResumeParentNotFound(ResumeFailed):
    """The parent run is not stored here and the request does not carry enough to do without it."""

    status = 404


class ParentRunning(ZelavisError):
    """The parent run has not ended; cancel it first."""

    code = "parent_running"
    status = 409


class RunConflict(ZelavisError):
    """A run with this id or key exists and was asked for with another body."""

    code = "run_conflict"
    status = 409


class InvalidEnvironment(ZelavisError):
    """environment must be one of production, preview, development"""

    code = "invalid_environment"
    status = 400


class ProtocolError(ZelavisError):
    """The tenant's answer is not a step response of protocol 1."""

    code = "tenant_invalid_response"
    status = 502


class DeterminismError(ZelavisError):
    """The workflow's body took another way than its journal says."""

    code = "non_deterministic"
    status = 500


class TokenLinkInvalid(ZelavisError):
    """This link is not valid, has expired, or was answered before."""

    code = "token_link_invalid"
    status = 403


class LostClaim(BaseException):
    """Another driver holds the run, or it was cancelled: stop at once and write nothing.

    Not an ``Exception``, so that a workflow's own ``except Exception`` cannot swallow it.
    """


class NotCommitted(BaseException):
    """The database did not take a commit: stop at once; whoever claims the run next goes on from the journal.

    Not an ``Exception``, so that a workflow's own ``except Exception`` neither swallows it nor makes it the run's end.
    Raised from the database's own error.
    """
