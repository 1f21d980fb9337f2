"""How a host call can fail (a guest sees message and code, and can catch it), and how the end of a call can."""

from __future__ import annotations

from sandbox.errors import CommitError


class Fault(Exception):
    """The host call failed in a way the guest may know: ``{"error": message, "code": code}``."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Refused(Fault):
    """A fault of policy: it is counted and shown in the admin."""


class CommitConflict(CommitError):
    """Another call changed what this one rested on; it may be tried again."""

    code = "commit_conflict"
    status = 409


class CommitQuotaExceeded(CommitError):
    """The plugin's store was filled by calls that ended meanwhile."""

    code = "commit_quota_exceeded"
    status = 429
