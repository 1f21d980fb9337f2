"""Shadow replay: calls that were recorded with the version that serves run again with the one that is to come.

Nothing is stored and nothing leaves the process by it, and the plugin cannot tell it from a call: the envelope is the
recorded one. What differs is counted, and the marketplace's policy says how much may.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from marketplace import rollouts
from marketplace.models import Plugin, UpdatePolicy
from sandbox.capabilities.models import Tape
from sandbox.errors import SandboxError
from zelavis.errors import ZelavisError
from zelavis.models import Deployment

logger = logging.getLogger("zelavis.activation")
#: Seconds for all replays of one attempt, and how often whoever holds the attempt is told that it goes on.
LONGEST = 120.0
ALIVE_EVERY = 10.0
#: Outcomes of which a recording says how the plugin behaves when all is well; a failure that is gone is no difference
#: to hold against an update.
_GOOD = ("ok", "rejected")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the replays said."""

    #: ``pass``, ``fail`` or ``inconclusive``.
    verdict: str
    total: int
    different: int
    #: One line for the timeline.
    text: str


def tapes(serving: Deployment | None, *, most: int) -> list[str]:
    """Ids of the newest recordings of a version, newest first."""
    if serving is None or serving.adapter != "sandbox":
        # Calls that ran in a worker elsewhere are not recorded here.
        return []
    rows = Tape.objects.filter(plugin=serving.entry.name, digest=serving.entry_digest, status__in=_GOOD)
    return list(rows.order_by("-created_at", "-id").values_list("pk", flat=True)[:most])


def run(serving: Deployment | None, candidate: Deployment, *, wanted: int, alive: Callable[[], None]) -> Verdict:
    """Replay up to ``wanted`` recordings of ``serving`` with ``candidate``."""
    from sandbox import tape
    from zelavis.adapters import artifacts

    total, differing = 0, []
    ends, told = time.monotonic() + LONGEST, time.monotonic()
    found = tapes(serving, most=wanted)
    artifact = artifacts.load(candidate.entry_digest) if found else None
    for name in found:
        now = time.monotonic()
        if now > ends:
            break
        if now - told > ALIVE_EVERY:
            alive()
            told = now
        try:
            replayed = tape.replay(tape.get(name), artifact=artifact)
        except (SandboxError, ZelavisError) as error:
            # Pruned meanwhile, or written by a version that this one cannot read: it says nothing either way.
            logger.info("tape not replayed", extra={"tape": name, "code": error.code})
            continue
        total += 1
        if not replayed.same:
            differing.append(f"{name} now {replayed.outcome.status}")
    plugin = Plugin.objects.filter(name=candidate.entry.name).first()
    tolerated = rollouts.policy(plugin).shadow_tolerance if plugin is not None else 0
    asked = UpdatePolicy(shadow_tapes=wanted, shadow_tolerance=tolerated)
    verdict = rollouts.shadow_verdict(total, len(differing), asked)
    text = f"{verdict}: {len(differing)} of {total} recorded calls differ (asked for {wanted})"
    if differing:
        text += f": {', '.join(differing[:5])}"
    return Verdict(verdict=verdict, total=total, different=len(differing), text=text + ".")
