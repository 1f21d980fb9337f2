"""Hourly counts, taken from the database in blocks.

A count is written before what it allows is carried out, so it holds across processes and a guest can catch a refusal.
To write once for many calls, a process takes a part of what is left at once: large while much is left, one by one near
the end. What it holds is counted as used. It gives back what it did not use for a minute when it takes again; a process
that ends does not, so an hour may allow a little less than its limit and never more.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from django.db import connection, transaction

from sandbox.capabilities.backends import sql

HOUR_MS = 3_600_000
#: Part of what is left that a process takes at once, and the most it takes.
PART = 64
MOST = 256
#: Seconds after which an unused block is given back.
KEPT = 60.0

_READ = "SELECT used FROM sandbox_pluginmeter WHERE plugin = %s AND meter = %s AND hour = %s"
_ADD = (
    "UPDATE sandbox_pluginmeter SET used = used + %s WHERE plugin = %s AND meter = %s AND hour = %s AND used + %s <= %s"
)
_NEW = (
    "INSERT INTO sandbox_pluginmeter (plugin, meter, hour, used) VALUES (%s, %s, %s, 0) "
    "ON CONFLICT (plugin, meter, hour) DO NOTHING"
)
_BACK = "UPDATE sandbox_pluginmeter SET used = used - %s WHERE plugin = %s AND meter = %s AND hour = %s"

#: Plugin, meter, hour.
_Slot = tuple[str, str, int]


@dataclass(slots=True)
class _Block:
    """What this process holds of one count."""

    left: int
    limit: int
    #: On ``time.monotonic()``.
    taken_at: float


class Meters:
    """The counts of one process."""

    def __init__(self) -> None:
        self._blocks: dict[_Slot, _Block] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def charge(self, plugin: str, meter: str, amount: int, limit: int, *, now_ms: int) -> bool:
        """Count; ``False``, and nothing counted, when it would pass ``limit``."""
        slot = (plugin, meter, now_ms // HOUR_MS)
        if self._from_block(slot, amount, limit):
            return True
        # Inside somebody else's transaction a block could be rolled back after it was used.
        alone = not connection.in_atomic_block
        if alone:
            self._give_back()
        with transaction.atomic():
            taken = self._take(slot, amount, limit, alone=alone)
        if taken > amount:
            with self._lock:
                held = self._blocks.get(slot)
                left = taken - amount + (held.left if held is not None and held.limit == limit else 0)
                self._blocks[slot] = _Block(left, limit, time.monotonic())
        return taken > 0

    def _from_block(self, slot: _Slot, amount: int, limit: int) -> bool:
        if self._process != os.getpid():
            # What the parent took is the parent's, and so is the thread that may have held its lock.
            self._blocks, self._lock, self._process = {}, threading.Lock(), os.getpid()
        with self._lock:
            block = self._blocks.get(slot)
            # Taken under another limit, it stays counted and is not used.
            if block is None or block.left < amount or block.limit != limit:
                return False
            block.left -= amount
            return True

    def _take(self, slot: _Slot, amount: int, limit: int, *, alone: bool) -> int:
        """Take at least ``amount`` from the database; 0 when that would pass the limit."""
        row = sql.execute(_READ, slot).fetchone()
        if row is None:
            sql.execute(_NEW, slot)
        block = min(MOST, (limit - (row[0] if row else 0)) // PART) if alone else 0
        for asked in (block, amount):
            if asked >= amount and sql.execute(_ADD, (asked, *slot, asked, limit)).rowcount:
                return asked
        return 0

    def _give_back(self) -> None:
        now = time.monotonic()
        with self._lock:
            old = [(slot, block) for slot, block in self._blocks.items() if now - block.taken_at > KEPT]
            for slot, _ in old:
                del self._blocks[slot]
        for slot, block in old:
            if block.left:
                # One row a transaction: two processes that hold several could wait for each other.
                with transaction.atomic():
                    sql.execute(_BACK, (block.left, *slot))
