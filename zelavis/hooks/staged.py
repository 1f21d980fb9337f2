"""Which version of a plugin answers a call while an update is rolled out in stages, and how it fared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marketplace import rollouts
from marketplace.models import Rollout
from zelavis.active import ActiveEntry

#: Ends of calls that say nothing about the plugin: it did not run, or was stopped by others.
_SAY_NOTHING = frozenset({"unreachable", "busy", "skipped", "resting", "cancelled"})
_WELL = frozenset({"ok", "rejected"})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The version that a call goes to."""

    entry: ActiveEntry
    #: Of the staged update, if one is running.
    rollout: int | None = None
    candidate: bool = False

    def count(self, status: str) -> None:
        """Count the call's end for the staged update; too many failures halt it, and the next call is the old
        version's again."""
        if self.rollout is not None and status not in _SAY_NOTHING:
            rollouts.count(self.rollout, candidate=self.candidate, failed=status not in _WELL)


def choose(entries: Sequence[ActiveEntry], subject: str) -> list[Choice]:
    """The version of each plugin that a call about ``subject`` goes to. Asks the database only while stages run.

    ``subject`` is the id of the event or of the request, which is drawn here: a share of the calls is a share of the
    calls however few pages a site has, and nobody outside can pick a version.
    """
    wanted = {entry.staged.rollout for entry in entries if entry.staged is not None}
    rows = Rollout.objects.in_bulk(wanted) if wanted else {}
    return [_one(entry, rows, subject) for entry in entries]


def _one(entry: ActiveEntry, rows: dict[int, Rollout], subject: str) -> Choice:
    row = rows.get(entry.staged.rollout) if entry.staged is not None else None
    if entry.staged is None or row is None:
        return Choice(entry=entry)
    if rollouts.to_candidate(row, subject):
        return Choice(entry=entry.staged.entry, rollout=row.pk, candidate=True)
    return Choice(entry=entry, rollout=row.pk)
