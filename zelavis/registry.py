"""Read and change the registry.

Every change goes through :func:`change`: a compare-and-set on the registry's revision in the same transaction as the
rows, tried up to eight times. Readers compare one small row with what they hold, so that a change made by another
process is seen at the next call and costs nothing while there is none.
"""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from zelavis import active, audit, carry, killswitch
from zelavis.active import ActiveEntry, Staged
from zelavis.errors import (
    InvalidRequest,
    InvalidSettings,
    PluginExists,
    PluginInstalled,
    PreconditionFailed,
    RegistryContended,
    RegistryMalformed,
    UnknownPlugin,
)
from zelavis.models import CircuitBreaker, Deployment, DispatchWorker, PluginEntry, Registry
from zelavis.models.sealed import Unreadable

#: Tries of one change before the caller is told to come again.
ATTEMPTS = 8
#: Shown in the place of a value that is not shown.
MASK = "********"

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All plugins that serve, at one revision."""

    revision: int
    nonce: str
    by_name: dict[str, ActiveEntry]
    by_hook: dict[str, tuple[ActiveEntry, ...]]


_held: Snapshot | None = None
_lock = threading.Lock()


def entries() -> QuerySet[PluginEntry]:
    """All entries with what serves, in registry order."""
    return PluginEntry.objects.select_related(
        "serving", "previous", "candidate", "worker", "worker__namespace"
    ).order_by(F("order").asc(nulls_last=True), "name")


def get(name: str) -> PluginEntry:
    """One entry.

    Raises:
        UnknownPlugin: none of this name.
    """
    entry = entries().filter(name=name).first()
    if entry is None:
        raise UnknownPlugin(f"There is no plugin {name[:80]!r} in the registry.")
    return entry


def revision() -> tuple[int, str]:
    """Revision and nonce of the registry; ``(0, "")`` before the first change."""
    row = Registry.objects.filter(pk=1).values_list("revision", "nonce").first()
    return row if row is not None else (0, "")


def active_for_hook(name: str) -> list[ActiveEntry]:
    """Plugins that serve and listen to a hook, in the order in which they run.

    Raises:
        RegistryMalformed: a stored entry cannot be understood.
    """
    return list(snapshot().by_hook.get(name, ()))


def active_entry(name: str) -> ActiveEntry | None:
    """The plugin of this name, if it serves."""
    return snapshot().by_name.get(name)


def snapshot() -> Snapshot:
    """What serves now. Costs one query of one small row while nothing changed."""
    global _held
    held, current = _held, revision()
    while held is None or (held.revision, held.nonce) != current:
        held = _read(current)
        # A change between the two reads would leave new rows under an old revision.
        current = revision()
    with _lock:
        _held = held
    return held


def forget_snapshot() -> None:
    """Drop what this process holds. For tests and for a process that changed rows past :func:`change`."""
    global _held
    with _lock:
        _held = None


def change(mutate: Callable[[], Result], *, expected: int | None = None) -> Result:
    """Run ``mutate`` in a transaction that moved the registry from the revision seen to the next.

    ``mutate`` reads what it changes inside; it may run up to eight times, each time on a fresh state, and nothing of
    a run that lost is kept. Whatever it raises leaves the registry as it was.

    Args:
        expected: the only revision from which the change may happen.

    Raises:
        RegistryContended: others changed the registry each time.
        PreconditionFailed: the registry is not at ``expected``.
    """
    for attempt in range(ATTEMPTS):
        if attempt and not connection.in_atomic_block:
            # Writers that lost together would meet again at the same moment.
            time.sleep(random.uniform(0, 0.002 * 2**attempt))  # noqa: S311  spreading, not secrecy
        seen, _nonce = revision()
        if expected is not None and seen != expected:
            raise PreconditionFailed(f"The registry is at revision {seen}.", revision=seen)
        with transaction.atomic():
            if not seen:
                Registry.objects.get_or_create(pk=1)
            taken = Registry.objects.filter(pk=1, revision=seen).update(revision=seen + 1, nonce=secrets.token_hex(8))
            if taken:
                return mutate()
    raise RegistryContended(attempts=ATTEMPTS)


def touch(entry: PluginEntry, **changes: Any) -> None:
    """Save fields of an entry and raise its own revision; call inside :func:`change`."""
    for field, value in changes.items():
        setattr(entry, field, value)
    entry.revision += 1
    entry.updated_at = timezone.now()
    entry.save(update_fields=[*changes, "revision", "updated_at"])


def register(
    name: str,
    *,
    actor: str,
    specifier: str = "",
    source: str = PluginEntry.Source.COMMUNITY,
    order: int | None = None,
    adapter: str = "sandbox",
    worker: DispatchWorker | None = None,
    reason: str = "",
) -> PluginEntry:
    """Make an entry, ``available``.

    Raises:
        PluginExists: the name is taken.
        UnknownAdapter, InvalidRequest: adapter and worker do not fit.
    """
    from zelavis import adapters

    needs_worker = adapters.get(adapter).needs_worker
    if needs_worker and worker is None:
        raise InvalidRequest(f"The adapter {adapter} calls a worker; name one as namespace/worker.")

    def mutate() -> PluginEntry:
        if PluginEntry.objects.filter(name=name).exists():
            raise PluginExists(f"The plugin {name} is already in the registry.")
        entry = PluginEntry.objects.create(
            name=name,
            specifier=specifier,
            source=source,
            order=order,
            adapter=adapter,
            worker=worker if needs_worker else None,
        )
        audit.record(
            "plugin.register",
            target=f"plugin:{name}",
            actor=actor,
            reason=reason,
            changes={"adapter": [None, adapter], "specifier": [None, specifier]},
        )
        return entry

    return change(mutate)


def configure(
    name: str,
    *,
    actor: str,
    settings: Any = None,
    order: int | None = None,
    clear_order: bool = False,
    source: str | None = None,
    expected: int | None = None,
) -> PluginEntry:
    """Change settings, order or source of an entry. ``expected`` is the entry's revision (If-Match).

    Raises:
        UnknownPlugin, PreconditionFailed, InvalidSettings.
    """

    def mutate() -> PluginEntry:
        entry = get(name)
        if expected is not None and entry.revision != expected:
            raise PreconditionFailed(f"The plugin is at revision {entry.revision}.", revision=entry.revision)
        changes: dict[str, Any] = {}
        if settings is not None:
            if not isinstance(settings, dict):
                raise InvalidSettings("Settings are a JSON object.")
            settings_given = _with_hidden(entry, settings)
            _check_settings(entry, settings_given)
            changes["settings"] = json.dumps(settings_given, ensure_ascii=False)
        if clear_order or order is not None:
            changes["order"] = order
        if source is not None:
            changes["source"] = source
        told = {
            # Settings may hold what not every reader of the log should see: the names suffice.
            field: [None, sorted(settings or {})] if field == "settings" else [getattr(entry, field), value]
            for field, value in changes.items()
        }
        touch(entry, **changes)
        audit.record("plugin.configure", target=f"plugin:{name}", actor=actor, changes=told)
        return entry

    return change(mutate)


def remove(name: str, *, actor: str, reason: str = "", purge: bool = False, expected: int | None = None) -> None:
    """Take an entry out of the registry; ``purge`` deletes what the plugin left behind. Its history stays.

    Raises:
        UnknownPlugin, PluginInstalled, PreconditionFailed.
    """

    from zelavis.activation import data

    def mutate() -> None:
        entry = get(name)
        if expected is not None and entry.revision != expected:
            raise PreconditionFailed(f"The plugin is at revision {entry.revision}.", revision=entry.revision)
        if (
            entry.status == PluginEntry.Status.INSTALLED
            or entry.serving_id
            or entry.activations.filter(finished_at=None).exists()
        ):
            raise PluginInstalled(f"The plugin {name} is installed or on its way; uninstall it first.")
        CircuitBreaker.objects.filter(plugin=name).delete()
        if purge:
            data.purge(name)
        entry.delete()
        audit.record("plugin.remove", target=f"plugin:{name}", actor=actor, reason=reason)

    change(mutate)


def block(name: str, *, actor: str, reason: str, expected: int | None = None) -> PluginEntry:
    """Stop a plugin where it stands: nobody calls it from now on, and calls that run are ended.

    What serves keeps its place, its settings and its data; an attempt at work ends as failed. A second block changes
    the reason.

    Raises:
        UnknownPlugin, PreconditionFailed, InvalidRequest: without a reason.
    """
    if not reason.strip():
        raise InvalidRequest("Say why it is stopped: whoever meets it next will ask.")
    return _stand(name, reason.strip()[:500], "plugin.block", actor=actor, reason=reason, expected=expected)


def unblock(name: str, *, actor: str, reason: str = "", expected: int | None = None) -> PluginEntry:
    """Let a stopped plugin go on from where it stood.

    Raises:
        UnknownPlugin, PreconditionFailed.
    """
    return _stand(name, "", "plugin.unblock", actor=actor, reason=reason, expected=expected)


def _stand(name: str, blocked: str, verb: str, *, actor: str, reason: str, expected: int | None) -> PluginEntry:
    def mutate() -> PluginEntry:
        entry = get(name)
        if expected is not None and entry.revision != expected:
            raise PreconditionFailed(f"The plugin is at revision {entry.revision}.", revision=entry.revision)
        if entry.blocked != blocked:
            audit.record(
                verb, target=f"plugin:{name}", actor=actor, reason=reason, changes={"blocked": [entry.blocked, blocked]}
            )
            changes: dict[str, Any] = {"blocked": blocked}
            if blocked:
                changes["stopped_at"] = timezone.now()
                killswitch.end_calls(name, reason=f"Blocked: {blocked}", worker=_worker_of(entry))
            touch(entry, **changes)
        return entry

    return change(mutate)


def _worker_of(entry: PluginEntry) -> int | None:
    return entry.serving.worker_id if entry.serving is not None else None


def _with_hidden(entry: PluginEntry, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that were shown masked and came back as they were shown keep the value they have."""
    kept, hidden = json.loads(entry.settings), carry.hidden(entry)
    return {
        name: kept[name] if value == MASK and name in hidden and name in kept else value
        for name, value in settings.items()
    }


def _check_settings(entry: PluginEntry, settings: dict[str, Any]) -> None:
    if entry.serving is None:
        return
    try:
        carry.refuse_invalid(carry.schema_of(entry.serving.manifest), settings)
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryMalformed(f"The manifest stored for {entry.name} cannot be understood.") from error


def _parsed(entry: PluginEntry, version: Deployment, settings: str, *, staged: Staged | None = None) -> ActiveEntry:
    if not version.proven_by:
        raise RegistryMalformed(f"The plugin {entry.name} is said to serve, but nothing proves it.")
    if isinstance(entry.settings, Unreadable):
        raise RegistryMalformed(
            f"The settings of {entry.name} cannot be read with the present ZELAVIS_SECRET_KEY; set them again."
        )
    return active.parse(
        name=entry.name,
        version=version.version,
        adapter=version.adapter,
        deployment=version.pk,
        digest=version.entry_digest,
        kind=version.kind,
        worker=version.worker_id,
        order=entry.order,
        manifest=version.manifest,
        grants=version.grants,
        settings=settings,
        staged=staged,
    )


def _staged(entry: PluginEntry) -> Staged | None:
    if entry.candidate is None or entry.rollout is None:
        return None
    try:
        settings = json.dumps(carry.onward(entry, entry.candidate).values)
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryMalformed(f"What is stored of the plugin {entry.name} cannot be understood: {error}") from error
    return Staged(rollout=entry.rollout, entry=_parsed(entry, entry.candidate, settings))


def _read(current: tuple[int, str]) -> Snapshot:
    rows = PluginEntry.objects.filter(
        serving__isnull=False, status=PluginEntry.Status.INSTALLED, blocked=""
    ).select_related("serving", "candidate")
    found = [
        _parsed(entry, entry.serving, entry.settings, staged=_staged(entry))
        for entry in rows
        if entry.serving is not None
    ]
    by_hook: dict[str, list[tuple[tuple[int, int, str], ActiveEntry]]] = {}
    for item in found:
        # While two versions answer, whichever listens is asked in its place.
        places: dict[str, int] = {}
        for version in (item, *([item.staged.entry] if item.staged is not None else [])):
            for binding in version.surface.hooks:
                places.setdefault(binding.name, binding.order)
            if version.listens("cron"):
                places.setdefault("cron", 100)
        for hook, order in places.items():
            by_hook.setdefault(hook, []).append(((item.order, order, item.name), item))
    return Snapshot(
        revision=current[0],
        nonce=current[1],
        by_name={item.name: item for item in found},
        by_hook={
            hook: tuple(item for _, item in sorted(pairs, key=lambda pair: pair[0])) for hook, pairs in by_hook.items()
        },
    )
