"""What an adapter is: it decides how a deployment, an activation and a call map to where plugins run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from zelavis.active import ActiveEntry
from zelavis.errors import ZelavisError
from zelavis.models import DispatchWorker

Strategy = Literal["isolate-per-call", "worker-boundary"]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an adapter can truthfully do; shown as declared."""

    strategy: Strategy
    supports_runtime_install: bool
    supports_uploaded_specifiers: bool
    supports_package_uploads: bool
    supports_isolated_execution: bool
    description: str


class Note(Protocol):
    """Writes one line of the activation's timeline."""

    def __call__(
        self,
        step: str,
        message: str = "",
        *,
        duration_ms: int | None = None,
        http_status: int | None = None,
        trap: str = "",
        code: str = "",
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """A version of a plugin that is to be deployed, activated or taken away."""

    #: The activation's id: the idempotency key of everything sent for it.
    activation: str
    #: The first attempt's id when this one is a retry.
    root: str
    #: When the first attempt was asked for, Unix milliseconds.
    created_ms: int
    #: What goes over the wire; a roll back is an ``update``.
    action: Literal["register", "install", "uninstall", "update"]
    name: str
    version: str
    previous_version: str
    specifier: str
    #: The worker's own view of the registry: its entry and nobody else's.
    registry: list[dict[str, Any]]
    digest: str
    entry_digest: str
    kind: str
    manifest: Mapping[str, Any]
    grants: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    worker: DispatchWorker | None
    #: The plugin does not serve yet: ``plugin:install`` runs.
    first: bool = False
    purge: bool = False
    #: The entry file's bytes, verified against the release; ``None`` where there is no release.
    source: Callable[[], bytes] | None = None
    note: Note = field(repr=False)


class DeployRefused(ZelavisError):
    """The version could not be put where it has to run."""

    code = "deploy_failed"
    status = 422


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of asking for an activation. Only an explicit, well-formed "active" is ``active``."""

    status: Literal["active", "pending", "failed"]
    message: str = ""
    code: str = ""
    http_status: int | None = None
    trap: str = ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a plugin: a hook's event on its way to one listener."""

    #: Decided by the caller: the same id is never run twice.
    id: str
    hook: str
    event: Mapping[str, Any]
    #: Milliseconds the call may take, the lower of the hook's, the plugin's and what is left of the budget.
    deadline_ms: int
    now_ms: int
    correlation: str
    actor: str = ""
    depth: int = 0
    #: It may be asked for again under its id: that it ran has to be known then, whatever is sampled.
    once: bool = False


@dataclass(frozen=True, kw_only=True)
class CallOutcome:
    """What became of a call, wherever it ran. ``status`` is the sandbox's word, or ``unreachable``/``bad_answer``."""

    status: str
    result: Any = None
    error_name: str = ""
    error_message: str = ""
    error_code: str = ""
    duration_ms: float = 0.0
    memory_bytes: int = 0
    host_calls: int = 0

    @property
    def ok(self) -> bool:
        """The plugin answered."""
        return self.status == "ok"


class Adapter(Protocol):
    """One way to run plugins."""

    name: str
    title: str
    capabilities: Capabilities
    #: Entries of this adapter name a worker of a dispatch namespace.
    needs_worker: bool

    def missing(self) -> str:
        """What configuration it lacks, in one sentence; empty when it can work."""
        ...

    def deploy(self, order: Order) -> None:
        """Put the version where it runs. Idempotent.

        Raises:
            ZelavisError, sandbox.errors.SandboxError: it cannot be, and why.
        """
        ...

    def activate(self, order: Order) -> Answer:
        """Ask whether the version answers there, or tell that it has to go. Idempotent by ``order.activation``."""
        ...

    def call(self, entry: ActiveEntry, call: Call) -> CallOutcome:
        """Run one call. Never raises for anything the plugin or its worker does."""
        ...
