"""What a plugin worker does with a request that is known to be genuine.

Hosted plugins live in this server's own database and artifact cache; nothing of the other Zelavis's database is
needed. Plugins that this server has in service by itself are answered for too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from sandbox import interrupts
from sandbox.models import Invocation
from zelavis import active, identifiers, ledger, registry
from zelavis.activation import data
from zelavis.active import ActiveEntry
from zelavis.adapters.base import Answer, Call, CallOutcome, Order
from zelavis.adapters.sandbox import SandboxAdapter
from zelavis.errors import Conflict, InvalidRequest, UnknownHook, UnknownPlugin, ZelavisError
from zelavis.hooks import HOOKS
from zelavis.models import HostedPlugin
from zelavis.worker import upkeep

logger = logging.getLogger("zelavis.worker")
NAME = re.compile(r"[a-z][a-z0-9-]{1,62}[a-z0-9]")
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: Capabilities that mean something here: what a plugin stores is stored here. Content, users and mail are the other
#: server's, and this one's are not for its plugins; a plugin that reaches for them is told that it may not.
HERE = frozenset({"kv", "documents", "blobs", "object", "http", "secrets", "log", "crypto"})
#: Times a call that found no free slot may come again under its id.
DELIVERIES = 20
_sandbox = SandboxAdapter()


class ActivationRefused(ZelavisError):
    """The plugin cannot be activated here."""

    code = "activation_refused"
    status = 422


def deploy(document: Mapping[str, Any]) -> dict[str, str]:
    """Take a version in: verify its digest, compile it, keep it. Idempotent by digest.

    Raises:
        InvalidRequest: not a deployment. SandboxError: the code cannot be used.
    """
    name, version = _text(document, "name", NAME), _text(document, "version")
    digest, kind = _text(document, "digest", _DIGEST), _text(document, "kind")
    manifest, grants = document.get("manifest"), document.get("grants")
    if kind not in ("javascript", "wasm") or not isinstance(manifest, dict) or not isinstance(grants, dict):
        raise InvalidRequest("kind, manifest or grants are not what a deployment needs.")
    if manifest.get("name") != name or manifest.get("version") != version:
        raise InvalidRequest("The manifest is another plugin's.")
    try:
        source = base64.b64decode(_text(document, "source"), validate=True)
    except binascii.Error:
        raise InvalidRequest("source is not base64.") from None
    if hashlib.sha256(source).hexdigest() != digest:
        raise InvalidRequest("source does not have the digest that was announced.")
    from sandbox import compiler

    manifest_text = json.dumps(manifest, ensure_ascii=False)
    try:
        active.surface(manifest_text)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(f"The manifest cannot be understood: {error}") from None
    # The kind is one of the two: checked above.
    compiler.deploy(source, kind=kind, grants=grants)  # type: ignore[arg-type]
    HostedPlugin.objects.update_or_create(
        # Two versions may have the same code and differ in their manifests.
        name=name,
        version=version,
        digest=digest,
        defaults={
            "kind": kind,
            "manifest": manifest_text,
            "grants": json.dumps(grants, ensure_ascii=False),
            "deployed_at": timezone.now(),
        },
    )
    return {"status": "deployed", "digest": digest}


def activate(asked: Mapping[str, Any], *, message_id: str) -> dict[str, str]:
    """The standard activation request. "active" only after the artifact loaded and its handlers ran.

    Raises:
        ActivationRefused: it never will be, and why.
    """
    name, action = asked["pluginName"], asked["action"]
    if action == "register":
        return {"status": "active"}
    # What leaves is what serves, whichever version the request names.
    row = _version(name, asked.get("specifier")) if action != "uninstall" else _leaving(name)
    if row is None:
        return _own(name, action)
    if action == "uninstall":
        interrupts.interrupt(reason="Uninstalled.", plugin=name)
        if row.activated_at is not None and row.state != HostedPlugin.State.INACTIVE:
            _sandbox.activate(_order(row, "uninstall", message_id))
        HostedPlugin.objects.filter(name=name).update(state=HostedPlugin.State.INACTIVE, activated_at=None)
        return {"status": "active"}
    answer: Answer = _sandbox.activate(_order(row, action, message_id))
    if answer.status != "active":
        raise ActivationRefused(answer.message, reason=answer.code)
    with transaction.atomic():
        HostedPlugin.objects.filter(name=name, state=HostedPlugin.State.ACTIVE).exclude(pk=row.pk).update(
            # It was active and may still be called by a caller that has not heard of the new one.
            state=HostedPlugin.State.DEPLOYED
        )
        HostedPlugin.objects.filter(pk=row.pk).update(state=HostedPlugin.State.ACTIVE, activated_at=timezone.now())
    return {"status": "active", "message": f"{row.name} {row.version} answers here."}


def call(document: Mapping[str, Any]) -> dict[str, Any]:
    """Run one call, or tell again what became of it when its id ran before. For one id at a time.

    Raises:
        InvalidRequest, UnknownPlugin, UnknownHook: there is nothing to run.
    """
    call_id = _text(document, "id", re.compile(r"[A-Za-z0-9_.-]{1,64}"))
    plugin = document.get("plugin")
    if not isinstance(plugin, dict) or "event" not in document:
        raise InvalidRequest("plugin or event is missing.")
    hook = HOOKS.get(_text(document, "hook"))
    if hook is None:
        raise UnknownHook
    entry = _entry(
        _text(plugin, "name", NAME),
        str(plugin.get("version") or ""),
        str(plugin.get("digest") or ""),
        document.get("settings"),
    )
    now_ms = _count(document, "now", time.time_ns() // 1_000_000)
    unused, outcome = _unused_id(call_id, now_ms)
    if outcome is None:
        outcome = _sandbox.call(
            entry,
            Call(
                id=unused,
                hook=hook.name,
                event=document["event"],
                deadline_ms=min(_count(document, "deadlineMs", hook.budget_ms), hook.budget_ms),
                now_ms=now_ms,
                correlation=str(document.get("correlation", ""))[:80],
                actor=str(document.get("actor", ""))[:200],
                depth=_count(document, "depth", 0),
                # A request whose answer was lost on the way comes again under its id.
                once=True,
            ),
        )
    upkeep.after_call()
    return _told(call_id, outcome)


def purge(document: Mapping[str, Any]) -> dict[str, str]:
    """Delete what a plugin left here, its versions too."""
    name = _text(document, "name", NAME)
    if HostedPlugin.objects.filter(name=name, state=HostedPlugin.State.ACTIVE).exists():
        raise Conflict("The plugin is active here; uninstall it first.")
    if not HostedPlugin.objects.filter(name=name).exists():
        raise UnknownPlugin(f"No plugin {name!r} is hosted here.")
    data.purge(name)
    HostedPlugin.objects.filter(name=name).delete()
    return {"status": "purged"}


def stop(document: Mapping[str, Any]) -> dict[str, Any]:
    """End the running calls of a plugin, or of one version; a version that was ``withdrawn`` is not called again."""
    name, digest = _text(document, "name", NAME), str(document.get("digest") or "")
    rows = HostedPlugin.objects.filter(name=name, **({"digest": digest} if digest else {}))
    if document.get("withdrawn") is True:
        rows.update(state=HostedPlugin.State.INACTIVE, activated_at=None)
    ended = interrupts.interrupt(reason="Stopped by the Zelavis that put it here.", plugin=name, digest=digest or None)
    return {"status": "stopped", "ended": ended}


def _version(name: str, specifier: Any) -> HostedPlugin | None:
    """The hosted version that a specifier of a release names, and no other; without one the newest taken in."""
    rows = HostedPlugin.objects.filter(name=name).order_by("-deployed_at", "-id")
    prefix = f"marketplace:{name}@"
    if isinstance(specifier, str) and specifier.startswith(prefix):
        rows = rows.filter(version=specifier.removeprefix(prefix))
    return rows.first()


def _leaving(name: str) -> HostedPlugin | None:
    rows = HostedPlugin.objects.filter(name=name)
    return rows.filter(state=HostedPlugin.State.ACTIVE).first() or rows.order_by("-deployed_at", "-id").first()


def _unused_id(call_id: str, now_ms: int) -> tuple[str, CallOutcome | None]:
    """The id under which a call is to run, or what became of it when it ran before.

    A call that found no free slot left a row and did not run: the next delivery takes an id derived from it.
    """
    candidate = call_id
    for delivery in range(2, DELIVERIES + 2):
        known = ledger.find(candidate)
        if known is not None or not Invocation.objects.filter(pk=candidate).exists():
            return candidate, known
        candidate = identifiers.derive("inv", call_id, str(delivery), now_ms=now_ms)
    return candidate, CallOutcome(status="busy", error_message="No slot became free in any delivery.")


def _grants(row: HostedPlugin) -> dict[str, Any]:
    return {name: grant for name, grant in json.loads(row.grants).items() if name in HERE}


def _own(name: str, action: str) -> dict[str, str]:
    """A plugin of this server's own registry."""
    serves = registry.active_entry(name) is not None
    if action == "uninstall":
        return {"status": "active"} if not serves else {"status": "pending", "message": "It serves this server itself."}
    if serves:
        return {"status": "active"}
    return {"status": "pending", "message": f'Plugin "{name[:80]}" is not deployed on this worker yet.'}


def _entry(name: str, version: str, digest: str, settings: Any) -> ActiveEntry:
    rows = HostedPlugin.objects.filter(name=name, activated_at__isnull=False).exclude(state=HostedPlugin.State.INACTIVE)
    if digest:
        rows = rows.filter(digest=digest, **({"version": version} if version else {}))
    else:
        rows = rows.filter(state=HostedPlugin.State.ACTIVE)
    row = rows.first()
    if row is None:
        own = registry.active_entry(name)
        if own is None or own.adapter != "sandbox" or (digest and own.digest != digest):
            raise UnknownPlugin(f"No plugin {name!r} of this version is active here.")
        return own
    return active.parse(
        name=row.name,
        version=row.version,
        adapter="sandbox",
        deployment=str(row.pk),
        digest=row.digest,
        kind=row.kind,
        worker=None,
        order=None,
        manifest=row.manifest,
        grants=json.dumps(_grants(row)),
        settings=json.dumps(settings if isinstance(settings, dict) else {}),
    )


def _order(row: HostedPlugin, action: Any, message_id: str) -> Order:
    return Order(
        activation=message_id,
        root=message_id,
        # The id of a lifecycle call is drawn from these, so that a repeated request runs no handler twice.
        created_ms=0,
        action=action,
        name=row.name,
        version=row.version,
        previous_version="",
        specifier="",
        registry=[],
        digest="",
        entry_digest=row.digest,
        kind=row.kind,
        manifest=json.loads(row.manifest),
        grants=_grants(row),
        settings={},
        worker=None,
        first=action == "install"
        and not HostedPlugin.objects.filter(name=row.name, activated_at__isnull=False).exists(),
        note=_unnoted,
    )


def _unnoted(step: str, message: str = "", **details: Any) -> None:
    """The timeline is kept by the Zelavis that asked; here the log has it."""
    logger.info("activation step", extra={"step": step, "text": message})


def _told(call_id: str, outcome: CallOutcome) -> dict[str, Any]:
    error = None
    if outcome.error_message or outcome.error_code:
        error = {"name": outcome.error_name, "message": outcome.error_message, "code": outcome.error_code}
    return {
        "id": call_id,
        "status": outcome.status,
        "result": outcome.result,
        "error": error,
        "durationMs": round(outcome.duration_ms, 3),
        "memoryBytes": outcome.memory_bytes,
        "hostCalls": outcome.host_calls,
    }


def _text(document: Mapping[str, Any], member: str, form: re.Pattern[str] | None = None) -> str:
    value = document.get(member)
    if not isinstance(value, str) or not value or (form is not None and not form.fullmatch(value)):
        raise InvalidRequest(f"{member} is missing or not what it has to be.")
    return value


def _count(document: Mapping[str, Any], member: str, default: int) -> int:
    value = document.get(member, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequest(f"{member} is not a whole number.")
    return value
