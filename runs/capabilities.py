"""``runs:trigger`` and ``runs:signal``: what plugins may do with durable runs.

A plugin acts as one tenant: its own (``plugin:{name}``), or the one that the operator gave it in the policy's
``plugin_tenants``. What a call asks for is applied in the transaction that ends the call, runs first and signals after
them; ids are made from the invocation's, so an invocation that is committed again starts and sends nothing twice.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any, ClassVar

from runs import clock, inbox, jsontext, lifecycle, policy, states
from runs.dispatchers.choose import choose
from runs.errors import NotParked, RunConflict, WorkflowNotFound
from runs.jsontext import ABSENT
from runs.manifests import ingesting
from runs.models import Run
from sandbox.capabilities import arguments, registry, wire
from sandbox.capabilities.backends.database import DatabaseBackend
from sandbox.capabilities.base import Capability, Context, Handler, Operation
from sandbox.capabilities.faults import CommitConflict, Fault, Refused
from sandbox.errors import CommitError
from zelavis.errors import NotFound

#: Furthest start of a run, in seconds from now.
FURTHEST_SECONDS = 366 * 24 * 3600
_TAGS = 20


def tenant_of(plugin: str) -> str:
    """The tenant whose runs a plugin starts and signals."""
    return policy.current().plugin_tenants.get(plugin) or f"plugin:{plugin}"


class _Effects:
    """What one call asked for, in its order. Both capabilities share it: a signal may be for a run of this call."""

    def __init__(self, context: Context) -> None:
        self.call = context.call
        self.tenant = tenant_of(context.plugin)
        #: Run id → arguments of the trigger.
        self.runs: dict[str, dict[str, Any]] = {}
        #: ``(run id, name, payload)``
        self.signals: list[tuple[str, str, Any]] = []
        self.applied = False

    def apply(self) -> None:
        """In the transaction that ends the call.

        Raises:
            CommitError: nothing of the call stands.
        """
        if self.applied:
            return
        self.applied = True
        for run_id, arguments_ in self.runs.items():
            try:
                lifecycle.trigger(run_id=run_id, **arguments_)
            except RunConflict:
                raise CommitConflict(f"Run {run_id} was started before with another input.") from None
            except WorkflowNotFound as error:
                raise CommitError(error.message) from None
        # Rows of runs are locked from the oldest on, as the engine locks parents before their children.
        asked = {run_id for run_id, _, _ in self.signals}
        created = dict(Run.objects.filter(pk__in=asked).values_list("pk", "created_at"))
        numbered = sorted(enumerate(self.signals), key=lambda each: (created.get(each[1][0], 0), each[1][0]))
        for number, (run_id, name, payload) in numbered:
            try:
                inbox.inject(
                    run_id,
                    states.SIGNAL,
                    name,
                    payload=payload,
                    buffer=True,
                    dedupe=f"{self.call.id}:{number}",
                    tenant=self.tenant,
                    actor=f"plugin:{self.call.plugin}",
                )
            except (NotFound, NotParked):
                # Removed since the call looked: as for a run that ended, nobody is left to hear it.
                continue
            except RunConflict as error:
                raise CommitConflict(error.message) from None


class _RunsHandler(Handler):
    """Shared by both capabilities."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._effects: _Effects = context.shared.setdefault("runs", _Effects(context))

    @property
    def dirty(self) -> bool:
        return bool(self._effects.runs or self._effects.signals) and not self._effects.applied

    def commit(self) -> None:
        # The author's commands, and processes without a database, have no runs: there a call is only tried.
        if isinstance(self.context.backend, DatabaseBackend):
            self._effects.apply()

    def _granted(self, workflow_id: str) -> bool:
        patterns = self.context.grant.get("workflows", ())
        return any(fnmatch.fnmatchcase(workflow_id, pattern) for pattern in patterns)

    def _checked(self, value: Any, name: str) -> Any:
        most = policy.current().max_payload_bytes
        if value is not ABSENT and len(wire.encode(value).encode()) > most:
            raise Fault("value_too_large", f"{name} takes at most {most} bytes of JSON.")
        return value


class TriggerHandler(_RunsHandler):
    """Runs that one call starts."""

    def trigger(self, args: list[Any]) -> str:
        arguments.no_more(args, 3)
        workflow_id = arguments.text(args, 0, name="workflow", longest=200)
        if not self._granted(workflow_id):
            raise Refused("workflow_not_granted", f"runs:trigger: {workflow_id} is not among the granted workflows.")
        effects = self._effects
        if choose(workflow_id, effects.tenant) is None:
            raise Fault("workflow_not_found", f"No workflow {workflow_id} is known here.")
        given = self._checked(arguments.get(args, 1, ABSENT, name="input"), "input")
        options = arguments.options(args, 2, allowed=("key", "tags", "delaySeconds"))
        wanted = {
            "workflow_id": workflow_id,
            "input": given,
            "tags": [f"plugin:{effects.call.plugin}", *_tags(options.get("tags"))],
            "tenant_meta": lifecycle.default_tenant_meta(effects.tenant),
            "triggered_by": {"kind": "api", "actor": f"plugin:{effects.call.plugin}"},
            "delay_until": self._delay(options.get("delaySeconds")),
            # Another call with this key asks for the same when workflow and input are: its clock does not count.
            "fingerprint": jsontext.fingerprint([workflow_id, given]),
        }
        run_id = f"run-{effects.call.id}-{len(effects.runs) + 1}"
        if options.get("key") is not None:
            key = arguments.checked_key(options["key"], name="key", longest=200)
            run_id = ingesting.run_id(workflow_id, f"{effects.tenant}:{key}")
            before = effects.runs.get(run_id)
            if before is not None and before["fingerprint"] != wanted["fingerprint"]:
                raise Fault("run_conflict", f"The key {key} was used with another input.")
        effects.runs.setdefault(run_id, wanted)
        return run_id

    def _delay(self, seconds: Any) -> int | None:
        if seconds is None:
            return None
        whole = arguments.whole(seconds, name="delaySeconds", least=0, most=FURTHEST_SECONDS)
        return clock.now_ms() + whole * 1000


class SignalHandler(_RunsHandler):
    """Signals that one call sends."""

    def signal(self, args: list[Any]) -> None:
        arguments.no_more(args, 3)
        run_id = arguments.text(args, 0, name="runId", longest=400)
        name = arguments.text(args, 1, name="name", longest=400)
        payload = self._checked(arguments.get(args, 2, ABSENT, name="payload"), "payload")
        workflow_id = self._workflow_of(run_id)
        # One answer for a run that is not there, is another tenant's, or runs a workflow that was not granted.
        if workflow_id is None or not self._granted(workflow_id):
            raise Fault("not_found", "There is no such run for this plugin.")
        self._effects.signals.append((run_id, name, payload))

    def _workflow_of(self, run_id: str) -> str | None:
        own = self._effects.runs.get(run_id)
        if own is not None:
            return str(own["workflow_id"])
        if "\x00" in run_id:
            return None
        found = Run.objects.filter(pk=run_id, tenant=self._effects.tenant)
        return found.values_list("workflow_id", flat=True).first()


def _tags(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _TAGS:
        raise arguments.invalid(f"tags must be a list of at most {_TAGS} texts.")
    return [arguments.checked_key(tag, name="A tag", longest=200) for tag in value]


_WORKFLOWS: dict[str, Any] = {
    "workflows": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 200},
        "minItems": 1,
        "maxItems": 50,
        "uniqueItems": True,
        "description": "Names of workflows; `*` stands for any characters.",
    }
}


class _Runs(Capability):
    """Shared by both."""

    quantities: ClassVar[Mapping[str, Any]] = _WORKFLOWS
    required: ClassVar[tuple[str, ...]] = ("workflows",)
    risk_level = "high"
    default_calls = 5

    def explain_quantities(self, grant: Mapping[str, Any]) -> list[str]:
        return [f"workflows {', '.join(map(str, grant.get('workflows', ())))}"]


class RunsTrigger(_Runs):
    """Starting runs."""

    name = "runs:trigger"
    summary = "Durable runs, started with the call's other writes."
    risk = "Starts workflows of this site, which go on after the call with the site's own powers."
    default_hourly = 1000
    handler = TriggerHandler
    operations: ClassVar[dict[str, Operation]] = {
        "trigger": Operation(
            name="trigger",
            run=TriggerHandler.trigger,
            signature="trigger(workflow, input?, {key?, tags?, delaySeconds?}) → run id",
            text="Start a run when the call ends.",
        )
    }


class RunsSignal(_Runs):
    """Signalling runs."""

    name = "runs:signal"
    summary = "Signals to durable runs of the plugin's tenant, sent with the call's other writes."
    risk = "Answers what workflows of this site wait for, approvals among them."
    default_hourly = 5000
    handler = SignalHandler
    operations: ClassVar[dict[str, Operation]] = {
        "signal": Operation(
            name="signal",
            run=SignalHandler.signal,
            signature="signal(runId, name, payload?) → null",
            text="Send a signal when the call ends; it is kept until the run waits for it.",
        )
    }


def register() -> None:
    """Make both known to the sandbox."""
    registry.register(RunsTrigger())
    registry.register(RunsSignal())
