"""Who has to be woken when: each app tells beat's scheduler of its earliest due row.

A source answers from one indexed column, so that a million sleeping rows cost a tick nothing. The scheduler
(``runs.scheduler``) sleeps until the earliest answer and then rings the source's task; the task claims what is due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WakeSource:
    """One column of wake times."""

    #: Shown by ``manage.py doctor``.
    name: str
    #: The Celery task that claims and handles what is due; takes no arguments.
    task: str
    #: Seconds until the earliest wake time, 0 or less when overdue, ``None`` when nothing waits.
    seconds_until_next: Callable[[], float | None]


#: Filled by each app in ``AppConfig.ready``.
SOURCES: list[WakeSource] = []
