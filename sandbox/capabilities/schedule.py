"""``schedule``: a plugin wakes itself later. The hook ``cron`` fires with the name and the data it left."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.capabilities import arguments, wire
from sandbox.capabilities.backends.protocol import Wake
from sandbox.capabilities.base import Capability, Context, Handler, Operation, amount
from sandbox.capabilities.faults import Fault, Refused

#: Nearest and furthest wake time, in milliseconds from now.
SOONEST = 1000
FURTHEST = 366 * 24 * 3_600_000
MAX_DATA = 8192
DEFAULT_WAKES = 20


class ScheduleHandler(Handler):
    """Wake times written during one call."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._staged: dict[str, Wake | None] = {}

    @property
    def dirty(self) -> bool:
        return bool(self._staged)

    def at(self, args: list[Any]) -> int:
        """Absolute milliseconds, or ``{afterSeconds}``; gives the wake time."""
        arguments.no_more(args, 3)
        name = _name(args)
        now = self.context.call.now_ms
        when = arguments.get(args, 1, name="when")
        if isinstance(when, dict):
            after = arguments.options([when], 0, allowed=("afterSeconds",))
            seconds = arguments.whole(after.get("afterSeconds"), name="afterSeconds", least=1, most=FURTHEST // 1000)
            at_ms = now + seconds * 1000
        else:
            at_ms = arguments.whole(when, name="when", least=now + SOONEST, most=now + FURTHEST)
        data = wire.encode(arguments.get(args, 2, None, name="data"))
        if len(data.encode()) > MAX_DATA:
            raise Fault("value_too_large", f"data takes at most {MAX_DATA} bytes of JSON.")
        kept = self._now()
        kept[name] = Wake(name=name, at_ms=at_ms, data=data)
        most = self.context.quantity("wakes", DEFAULT_WAKES)
        if len(kept) > most:
            raise Refused("quota_exceeded", f"schedule: {most} wake times are used up.")
        self._staged[name] = kept[name]
        return at_ms

    def cancel(self, args: list[Any]) -> bool:
        arguments.no_more(args, 1)
        name = _name(args)
        present = name in self._now()
        self._staged[name] = None
        return present

    def names(self, args: list[Any]) -> list[dict[str, Any]]:
        arguments.no_more(args, 0)
        return [
            {"name": wake.name, "at": wake.at_ms, "data": wire.decode_text(wake.data)}
            for _, wake in sorted(self._now().items())
        ]

    def _now(self) -> dict[str, Wake]:
        kept = {wake.name: wake for wake in self.context.backend.wakes(self.context.plugin)}
        for name, wake in self._staged.items():
            kept.pop(name, None)
            if wake is not None:
                kept[name] = wake
        return kept

    def commit(self) -> None:
        self.context.backend.set_wakes(
            self.context.plugin, self._staged, most=self.context.quantity("wakes", DEFAULT_WAKES)
        )

    def after_commit(self) -> None:
        self.context.backend.after_commit("schedule")


def _name(args: list[Any]) -> str:
    return arguments.key(args, name="name", longest=100)


class Schedule(Capability):
    """Waking later."""

    name = "schedule"
    summary = "Wake times the plugin sets for itself; each fires its cron hook once."
    risk = "Runs by itself at times it chooses."
    risk_level = "low"
    default_calls = 10
    quantities: ClassVar[dict[str, Any]] = {
        "wakes": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Wake times set at one time."}
    }
    handler = ScheduleHandler
    operations: ClassVar[dict[str, Operation]] = {
        "at": Operation(
            name="at",
            run=ScheduleHandler.at,
            signature="at(name, milliseconds or {afterSeconds}, data?) → milliseconds",
            text="Set or move a wake time.",
        ),
        "cancel": Operation(
            name="cancel",
            run=ScheduleHandler.cancel,
            signature="cancel(name) → boolean",
            text="Forget a wake time; tells whether there was one.",
        ),
        "list": Operation(
            name="list",
            run=ScheduleHandler.names,
            signature="list() → [{name, at, data}]",
            text="The wake times of this plugin.",
        ),
    }

    def explain_quantities(self, grant: Any) -> list[str]:
        return [f"{amount(grant.get('wakes', DEFAULT_WAKES))} wake times"]
