"""Fire a hook: ask every listener in order, within one budget, and put the answers together."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.utils import timezone
from jsonschema import Draft202012Validator

from zelavis import adapters, identifiers, ledger, registry
from zelavis.active import ActiveEntry
from zelavis.adapters.base import Call, CallOutcome
from zelavis.errors import HookLoop, InvalidEvent, UnknownHook
from zelavis.hooks import breakers, chain, staged
from zelavis.hooks.catalogue import HOOKS, Hook, Moment, withhold
from zelavis.hooks.staged import Choice

#: A listener's time when its manifest names none: in a store here, and in a worker elsewhere.
DEFAULT_MS = 250
DEFAULT_WORKER_MS = 2_000
#: Ends of calls that may be tried again without the plugin having run.
NOT_RUN = frozenset({"unreachable", "busy", "skipped", "resting"})


@dataclass(frozen=True, kw_only=True)
class HookOutcome:
    """What one listener made of an event."""

    plugin: str
    version: str
    #: The sandbox's word, or ``skipped`` (no time left, chain aborted), ``resting`` (breaker), ``unreachable``.
    status: str
    result: Any = None
    message: str = ""
    code: str = ""
    invocation: str = ""
    duration_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why a change may not happen."""

    plugin: str
    message: str
    #: The field the message is about; empty: the whole.
    field: str = ""
    #: ``rejected``: the plugin said no; ``plugin_failed``: it failed and must not be skipped.
    code: str = "rejected"


@dataclass(frozen=True, kw_only=True)
class FireResult:
    """All answers to one event."""

    hook: str
    correlation: str
    outcomes: list[HookOutcome] = field(default_factory=list)
    rejection: Rejection | None = None
    #: Fields that before-hooks set, as they stand after the last listener.
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def rejected(self) -> bool:
        """Whether the change must not happen."""
        return self.rejection is not None


def find(name: str) -> Hook:
    """A line of the catalogue.

    Raises:
        UnknownHook: none of this name.
    """
    try:
        return HOOKS[name]
    except KeyError:
        raise UnknownHook(f"There is no hook {name[:60]!r}. Hooks: {', '.join(HOOKS)}.") from None


def check(hook: Hook, payload: Any) -> None:
    """Refuse an event that does not fit the hook's schema.

    Raises:
        InvalidEvent: it says where and why.
    """
    problem = next(iter(_validator(hook.name).iter_errors(payload)), None)
    if problem is not None:
        place = "/".join(str(part) for part in problem.absolute_path)
        raise InvalidEvent(f"{'event/' + place if place else 'event'}: {problem.message[:300]}")


@lru_cache(maxsize=64)
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(HOOKS[name].payload)


def fire(
    name: str,
    payload: Mapping[str, Any],
    *,
    actor: str = "",
    correlation: str = "",
    depth: int | None = None,
    event_id: str = "",
    plugin: str = "",
    skip: Collection[str] = (),
    event_at: datetime | None = None,
    delivery: int = 1,
    now: datetime | None = None,
) -> FireResult:
    """Ask every listener of a hook, in order, and wait for their answers.

    A before-hook's result says whether the change may happen and which fields it has to carry; of an after-hook only
    the outcomes count. Must not be called inside a database transaction.

    Args:
        correlation, depth: of the chain this event belongs to; by default the chain of the present work.
        event_id: names the event, so that firing it again runs no listener twice.
        plugin: ask this one only.
        skip: plugins that are not asked.
        event_at: when it happened; the guest's clock, and with ``event_id`` what the ids of its calls are drawn from.
        delivery: 2 and more when the event is fired again.

    Raises:
        UnknownHook, InvalidEvent: the event is not one of the catalogue's.
        HookLoop: plugins set each other off.
        RegistryMalformed: it cannot be known who listens.
    """
    hook = find(name)
    check(hook, payload)
    moment = now or timezone.now()
    here = chain.current()
    run = _Run(
        hook=hook,
        event_id=event_id or identifiers.make("evt"),
        actor=actor,
        correlation=correlation or here.correlation,
        depth=here.depth if depth is None else depth,
        event_at=event_at or moment,
        delivery=delivery,
        now=moment,
    )
    if run.depth > chain.MAX_DEPTH:
        raise HookLoop(correlation=run.correlation)
    listeners = [
        entry
        for entry in registry.active_for_hook(name)
        if entry.name not in skip and (not plugin or entry.name == plugin)
    ]
    chosen = [choice for choice in staged.choose(listeners, run.event_id) if choice.entry.listens(name)]
    return run.through(chosen, dict(payload))


@dataclass(kw_only=True)
class _Run:
    """One event on its way through its listeners."""

    hook: Hook
    event_id: str
    actor: str
    correlation: str
    depth: int
    event_at: datetime
    delivery: int
    now: datetime
    outcomes: list[HookOutcome] = field(default_factory=list)
    rejection: Rejection | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    def through(self, listeners: Sequence[Choice], payload: dict[str, Any]) -> FireResult:
        ends = time.monotonic() + self.hook.budget_ms / 1000
        resting = breakers.held(choice.entry.name for choice in listeners) if listeners else {}
        stopped = ""
        for choice in listeners:
            entry = choice.entry
            # A candidate that fails is halted by its rollout; it must not open the breaker of what serves.
            breaker = None if choice.candidate else resting.get(entry.name)
            left_ms = int((ends - time.monotonic()) * 1000)
            outcome = None
            if stopped:
                outcome = _untried(entry, "skipped", stopped, "aborted")
            elif left_ms <= 0:
                outcome = _untried(entry, "skipped", "The hook's time is used up.", "hook_budget")
            elif not breakers.admits(breaker, now=self.now):
                outcome = _untried(entry, "resting", "The plugin failed repeatedly and is let rest.", "plugin_resting")
            else:
                outcome = self._ask(entry, payload, left_ms)
                if not choice.candidate:
                    breakers.record(entry.name, outcome.status, outcome.message, breaker=breaker, now=self.now)
            self.outcomes.append(outcome)
            if not stopped:
                stopped = self._judge(entry, outcome, payload)
            choice.count(self.outcomes[-1].status)
        return FireResult(
            hook=self.hook.name,
            correlation=self.correlation,
            outcomes=self.outcomes,
            rejection=self.rejection,
            changes=self.changes,
        )

    def _ask(self, entry: ActiveEntry, payload: dict[str, Any], left_ms: int) -> HookOutcome:
        adapter = adapters.get(entry.adapter)
        binding = entry.hook(self.hook.name)
        per_call = DEFAULT_MS if adapter.capabilities.strategy == "isolate-per-call" else DEFAULT_WORKER_MS
        declared = (binding.timeout_ms if binding else None) or entry.surface.limits.get("deadlineMs")
        wanted = declared if isinstance(declared, int) and declared > 0 else per_call
        now_ms = int(self.event_at.timestamp() * 1000)
        call = Call(
            id=call_id(self.event_id, entry, now_ms=now_ms, delivery=self.delivery),
            hook=self.hook.name,
            event=withhold(self.hook, payload, entry.grants),
            deadline_ms=max(1, min(wanted, left_ms)),
            now_ms=now_ms,
            correlation=self.correlation,
            actor=self.actor,
            depth=self.depth,
            # A before-hook's caller waits for it and never comes again with the same event.
            once=self.hook.moment is not Moment.BEFORE,
        )
        with chain.within(self.correlation, self.depth):
            outcome = adapter.call(entry, call)
        if adapter.capabilities.strategy == "worker-boundary" and outcome.status not in NOT_RUN:
            ledger.record(entry, call, outcome)
        return _told(entry, call.id, outcome)

    def _judge(self, entry: ActiveEntry, outcome: HookOutcome, payload: dict[str, Any]) -> str:
        """What the outcome means for the change and for the listeners that follow: a reason to stop, or nothing."""
        before = self.hook.moment is Moment.BEFORE
        if outcome.status == "rejected" and before:
            self.rejection = _rejection(entry.name, outcome)
            return f"{entry.name} rejected it."
        problem = outcome.message or outcome.status
        if outcome.status == "ok":
            problem = self._apply(entry, outcome, payload) if before else ""
            if not problem:
                return ""
        binding = entry.hook(self.hook.name)
        policy = (binding.on_error if binding else None) or ("abort" if before else "continue")
        if policy == "continue":
            return ""
        if before:
            self.rejection = Rejection(
                plugin=entry.name,
                message=f"The plugin {entry.name} could not check this ({problem}).",
                code="plugin_failed",
            )
        return f"{entry.name} failed and its manifest says to stop there."

    def _apply(self, entry: ActiveEntry, outcome: HookOutcome, payload: dict[str, Any]) -> str:
        """Take over the fields an answer changes; the next listener sees them. What is wrong with them, or nothing."""
        answer = outcome.result
        if not isinstance(answer, dict) or answer.get("change") is None:
            return ""
        change, part = answer["change"], self.hook.changes
        problem = ""
        if not isinstance(change, dict):
            problem = "its change is not an object"
        elif not part:
            problem = "nothing can be changed here"
        elif not any(capability in entry.grants for capability in self.hook.change_needs):
            problem = f"it changes {part} without the capability {' or '.join(self.hook.change_needs)}"
        else:
            present = payload[part]
            for name, value in change.items():
                if name not in present:
                    problem = f"there is no field {name[:60]!r} to change"
                elif present[name] is not None and type(value) is not type(present[name]):
                    problem = f"the field {name!r} takes another type of value"
        if problem:
            self.outcomes[-1] = HookOutcome(
                **{**vars(outcome), "status": "output_invalid", "message": problem, "code": "change_refused"}
            )
            return problem
        payload[part] = {**payload[part], **change}
        self.changes.update(change)
        return ""


def call_id(event_id: str, entry: ActiveEntry, *, now_ms: int, delivery: int = 1) -> str:
    """The id of a listener's call. A worker gets the same id with every delivery and does the work once; a call here
    that found no free slot left a row in the ledger, so the next delivery needs an id of its own."""
    elsewhere = adapters.get(entry.adapter).capabilities.strategy == "worker-boundary"
    again = () if delivery == 1 or elsewhere else (str(delivery),)
    return identifiers.derive("inv", event_id, entry.name, *again, now_ms=now_ms)


def _untried(entry: ActiveEntry, status: str, message: str, code: str) -> HookOutcome:
    return HookOutcome(plugin=entry.name, version=entry.version, status=status, message=message, code=code)


def _told(entry: ActiveEntry, invocation: str, outcome: CallOutcome) -> HookOutcome:
    return HookOutcome(
        plugin=entry.name,
        version=entry.version,
        status=outcome.status,
        result=outcome.result,
        message=outcome.error_message,
        code=outcome.error_code,
        invocation=invocation,
        duration_ms=outcome.duration_ms,
    )


def _rejection(plugin: str, outcome: HookOutcome) -> Rejection:
    said = outcome.result.get("reject") if isinstance(outcome.result, dict) else None
    if isinstance(said, dict):
        message, name = said.get("message"), said.get("field")
    else:
        message, name = (said if isinstance(said, str) else outcome.message), None
    return Rejection(
        plugin=plugin,
        message=str(message)[:500] if message else f"The plugin {plugin} rejected this.",
        field=name[:100] if isinstance(name, str) else "",
    )
