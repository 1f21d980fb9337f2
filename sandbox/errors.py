"""What can be wrong with a module or an artifact. A class is one code; its docstring is the default message.

The API layer maps these by their ``code``, ``status``, ``message`` and ``members``, as it does its own errors.
What goes wrong *during* a call is not here: that is an :class:`sandbox.outcome.Outcome`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SandboxError(Exception):
    """The sandbox could not do this."""

    code: ClassVar[str] = "sandbox_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, **members: Any) -> None:
        """``members`` are added to an API answer as they are (camelCase names)."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.members = members
        super().__init__(self.message)


class InvalidModule(SandboxError):
    """The plugin's entry file is not a module that can be used."""

    code = "invalid_module"
    status = 422


class ModuleTooLarge(SandboxError):
    """The plugin's entry file, or a part of it, is larger than it may be."""

    code = "module_too_large"
    status = 422


class AbiMismatch(SandboxError):
    """The module does not have the exports and imports of ABI v1."""

    code = "abi_mismatch"
    status = 422


class CapabilityUndeclared(SandboxError):
    """The module imports a capability that its manifest does not declare."""

    code = "capability_undeclared"
    status = 422


class LoadFailed(SandboxError):
    """The plugin's top-level code failed while it was evaluated for deployment."""

    code = "plugin_load_failed"
    status = 422


class CompileLimit(SandboxError):
    """Compiling or evaluating the module needed more time or memory than it may have."""

    code = "compile_limit"
    status = 422


class ArtifactNotFound(SandboxError):
    """No plugin with this digest is deployed here."""

    code = "artifact_not_found"
    status = 404


class SandboxUnavailable(SandboxError):
    """Plugins cannot run in this process."""

    code = "sandbox_unavailable"
    status = 503


class CommitError(SandboxError):
    """The writes of a call could not be stored; nothing of them is."""

    code = "commit_failed"
    status = 500
