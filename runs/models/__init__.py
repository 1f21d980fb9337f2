"""The tables of durable runs."""

from __future__ import annotations

from runs.models.catalogue import Dispatcher
from runs.models.manifests import EventFilter, EventReceipt, Manifest, Schedule
from runs.models.run import IdempotencyKey, JournalEntry, Run, RunData, RunTag, Slot, StreamChunk
from runs.models.waiting import InboxItem, Waitpoint

__all__ = [
    "Dispatcher",
    "EventFilter",
    "EventReceipt",
    "IdempotencyKey",
    "InboxItem",
    "JournalEntry",
    "Manifest",
    "Run",
    "RunData",
    "RunTag",
    "Schedule",
    "Slot",
    "StreamChunk",
    "Waitpoint",
]
