"""``sandbox``: plugins run here, each call in a store of its own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sandbox.artifact import Artifact
from sandbox.call import Call as SandboxCall
from sandbox.errors import SandboxError
from sandbox.interrupts import Running
from sandbox.limits import Limits
from zelavis import active, identifiers, killswitch, ledger
from zelavis.active import ActiveEntry, Surface
from zelavis.adapters import artifacts
from zelavis.adapters.base import Answer, Call, CallOutcome, Capabilities, DeployRefused, Order
from zelavis.errors import ZelavisError
from zelavis.hooks.catalogue import HOOKS

#: Seconds of loading after which it is looked again whether the plugin may still be called.
SLOW = 0.1


class SandboxAdapter:
    """Compiles in a child process, runs in throwaway stores."""

    name = "sandbox"
    title = "Sandbox"
    needs_worker = False
    capabilities = Capabilities(
        strategy="isolate-per-call",
        supports_runtime_install=True,
        supports_uploaded_specifiers=False,
        supports_package_uploads=True,
        supports_isolated_execution=True,
        description="Every call of every plugin runs in a fresh WebAssembly store inside this server, with the "
        "capabilities that were consented to and nothing else.",
    )

    def missing(self) -> str:
        """It needs nothing."""
        return ""

    def deploy(self, order: Order) -> None:
        """Fetch, verify the digest, inspect without running, compile in a child process."""
        if order.source is None:
            raise DeployRefused("The sandbox runs releases of the marketplace; this plugin has none.")
        started = time.monotonic()
        from sandbox import compiler
        from sandbox import inspect as inspection

        source = order.source()
        order.note("fetched", f"{len(source)} bytes", duration_ms=_since(started))
        found = hashlib.sha256(source).hexdigest()
        if found != order.entry_digest:
            raise DeployRefused("The entry file is not the one that was approved.", expected=order.entry_digest)
        order.note("verified", f"sha256:{found}")
        started = time.monotonic()
        seen = inspection.inspect(source, kind=order.kind)  # type: ignore[arg-type]
        order.note("inspected", _imports(seen), duration_ms=_since(started))
        started = time.monotonic()
        compiler.deploy(source, kind=order.kind, grants=order.grants)  # type: ignore[arg-type]
        order.note("compiled", "in a child process", duration_ms=_since(started))

    def activate(self, order: Order) -> Answer:
        """The artifact loads, has what the manifest says, and its lifecycle handlers ran."""
        if order.action == "uninstall":
            return self._take_away(order)
        started = time.monotonic()
        try:
            artifact = artifacts.load(order.entry_digest)
        except (SandboxError, ZelavisError) as error:
            return Answer(status="failed", code=error.code, message=error.message)
        order.note("loaded", f"sha256:{artifact.digest}", duration_ms=_since(started))
        surface = active.surface(_text(order.manifest))
        lacking = _lacking(artifact, surface)
        if lacking:
            return Answer(
                status="failed",
                code="manifest_mismatch",
                message=f"The manifest declares what the code does not have: {', '.join(lacking)}.",
            )
        event = {"version": order.version, "previousVersion": order.previous_version or None}
        for hook in ("plugin:install", "plugin:activate") if order.first else ("plugin:activate",):
            outcome = self._lifecycle(order, hook, event)
            order.note(
                hook,
                outcome.error_message,
                duration_ms=round(outcome.duration_ms),
                trap="" if outcome.ok else outcome.status,
            )
            if not outcome.ok:
                return Answer(
                    status="failed",
                    code="lifecycle_failed",
                    message=f"{hook} ended with {outcome.status}: {outcome.error_message or 'no message'}",
                    trap=outcome.status,
                )
        return Answer(status="active")

    def call(self, entry: ActiveEntry, call: Call) -> CallOutcome:
        """One call in a store of its own."""
        return self._run(
            call, entry.name, entry.version, entry.digest, entry.grants, entry.settings, entry.surface.limits
        )

    def _take_away(self, order: Order) -> Answer:
        event = {"version": order.version, "previousVersion": None, "purge": order.purge}
        for hook in ("plugin:deactivate", "plugin:uninstall"):
            outcome = self._lifecycle(order, hook, event)
            # A plugin that fails to say goodbye goes all the same.
            order.note(
                hook,
                outcome.error_message,
                duration_ms=round(outcome.duration_ms),
                trap="" if outcome.ok else outcome.status,
            )
        return Answer(status="active")

    def _lifecycle(self, order: Order, hook: str, event: Mapping[str, Any]) -> CallOutcome:
        # Installed once for all attempts of an intent; everything else once for each attempt.
        call_id = identifiers.derive("inv", order.activation, hook, now_ms=order.created_ms)
        known = ledger.find(call_id)
        if hook == "plugin:install":
            first_id = identifiers.derive("inv", order.root, hook, now_ms=order.created_ms)
            first = ledger.find(first_id)
            known = first if first is not None and first.ok else known
        if known is not None:
            return known
        call = Call(
            id=call_id,
            hook=hook,
            event=event,
            deadline_ms=HOOKS[hook].budget_ms,
            now_ms=time.time_ns() // 1_000_000,
            correlation=order.activation,
            once=True,
        )
        limits = order.manifest.get("limits")
        return self._run(
            call,
            order.name,
            order.version,
            order.entry_digest,
            order.grants,
            order.settings,
            # A handler that prepares the plugin may take the hook's whole budget; memory stays as declared.
            {**(limits if isinstance(limits, dict) else {}), "deadlineMs": HOOKS[hook].budget_ms},
        )

    def _run(
        self,
        call: Call,
        name: str,
        version: str,
        digest: str,
        grants: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, Any],
        declared: Mapping[str, Any],
    ) -> CallOutcome:
        # wasmtime is loaded in the processes that run plugins, when they first do.
        from sandbox import host

        began, started = datetime.now(tz=UTC), time.monotonic()
        try:
            artifact = artifacts.load(digest)
        except (SandboxError, ZelavisError) as error:
            return CallOutcome(status="host_error", error_code=error.code, error_message=error.message)
        if time.monotonic() - started > SLOW:
            # It was compiled on this host first, and may have been stopped meanwhile.
            asked = Running(
                id=call.id, plugin=name, version=version, digest=digest, hook=call.hook, started_at=began
            )  # fmt: skip
            if reason := killswitch.must_end([asked]).get(call.id):
                return CallOutcome(status="cancelled", error_code="cancelled", error_message=reason)
        outcome = host.execute(
            artifact,
            SandboxCall(
                id=call.id,
                plugin=name,
                version=version,
                hook=call.hook,
                event=dict(call.event),
                correlation=call.correlation,
                actor=call.actor,
                now_ms=call.now_ms,
                # The same call has the same randomness, so that a replay is the call again.
                seed=int.from_bytes(hashlib.sha256(call.id.encode()).digest()[:8]),
                settings=dict(settings),
                depth=call.depth,
                once=call.once,
            ),
            grants=grants,
            limits=_limits(declared, call.deadline_ms),
        )
        said = outcome.error
        return CallOutcome(
            status=str(outcome.status),
            result=outcome.result,
            error_name=said.name if said else "",
            error_message=said.message if said else "",
            error_code=said.code if said else "",
            duration_ms=outcome.duration_ms,
            memory_bytes=outcome.memory_bytes,
            host_calls=outcome.host_calls,
        )


def _limits(declared: Mapping[str, Any], deadline_ms: int) -> Limits:
    return _limits_of(max(1, deadline_ms), *((name, value) for name, value in declared.items() if type(value) is int))


@lru_cache(maxsize=1024)
def _limits_of(deadline_ms: int, *declared: tuple[str, int]) -> Limits:
    # The same for call after call of a plugin: made and checked once.
    return replace(Limits(), deadline_ms=deadline_ms).lowered(dict(declared))


def _lacking(artifact: Artifact, surface: Surface) -> list[str]:
    """What the manifest declares and the code does not have. A module of plain wasm tells nothing of its hooks."""
    lacking = []
    if artifact.hooks is not None:
        if surface.schedules and "cron" not in artifact.hooks:
            lacking.append("hook cron, for its schedules")
        lacking += [
            f"hook {binding.name}"
            for binding in surface.hooks
            if binding.name not in artifact.hooks and not binding.name.startswith("plugin:")
        ]
    if artifact.routes is not None:
        lacking += [
            f"route {method} {route.path}"
            for route in surface.routes
            for method in route.methods
            if f"{method} {route.path}" not in artifact.routes
        ]
    return lacking


def _imports(seen: Any) -> str:
    capabilities = sorted(seen.capabilities or ())
    return f"imports {', '.join(capabilities)}" if capabilities else "no capability is proven from imports"


def _text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, ensure_ascii=False)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
