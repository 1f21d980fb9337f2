"""What a call that runs may not do any more because its plugin lost a capability since it began."""

from __future__ import annotations

from collections.abc import Collection

from sandbox.call import Call
from sandbox.capabilities import registry as capabilities
from zelavis import registry
from zelavis.models import PluginEntry


def taken(call: Call) -> Collection[str]:
    """Capability names that the plugin has no more; ``*`` is all of them. Asked of calls that take longer.

    Lifecycle hooks run before a plugin serves and after it did, and a process without a registry (a plugin worker)
    knows of no consent: neither takes anything. A call of an older version keeps what was consented to for it.
    """
    if call.hook.startswith("plugin:"):
        return ()
    entry = registry.active_entry(call.plugin)
    if entry is None:
        return ("*",) if PluginEntry.objects.filter(name=call.plugin).exists() else ()
    if entry.staged is not None and entry.staged.entry.version == call.version:
        entry = entry.staged.entry
    if entry.version != call.version:
        return ()
    declared = {one.name for one in capabilities.all_capabilities() if one.declared}
    return declared - set(entry.grants)
