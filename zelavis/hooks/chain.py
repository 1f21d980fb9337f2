"""Which chain of events the present work belongs to, so that plugins that set each other off are cut short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.db.models import Max

from zelavis import identifiers
from zelavis.models import HookEvent

#: Plugins one event may pass through before its chain is cut.
MAX_DEPTH = 4
#: Events one first event may lead to.
MAX_EVENTS = 100


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Where an event comes from."""

    #: Shared by everything one first event led to.
    correlation: str
    #: Plugins passed through so far.
    depth: int


_current: ContextVar[Chain | None] = ContextVar("hook_chain", default=None)


def current() -> Chain:
    """The chain of the present work; a new one outside of any plugin's call."""
    return _current.get() or Chain(correlation=identifiers.make("cor"), depth=0)


_actor: ContextVar[str] = ContextVar("hook_actor", default="")


def actor() -> str:
    """Who causes the present work, as the audit log would name them; empty when nobody said."""
    return _actor.get()


@contextmanager
def by(name: str) -> Iterator[None]:
    """What happens inside is caused by this person or token."""
    token = _actor.set(name)
    try:
        yield
    finally:
        _actor.reset(token)


@contextmanager
def within(correlation: str, depth: int) -> Iterator[None]:
    """What happens inside was caused by a plugin's call at ``depth``."""
    token = _current.set(Chain(correlation=correlation, depth=depth + 1))
    try:
        yield
    finally:
        _current.reset(token)


def depth_of(correlation: str) -> int:
    """How deep an event from outside is that names a correlation of ours: one more than any recorded under it."""
    if not correlation:
        return 0
    deepest: int | None = HookEvent.objects.filter(correlation=correlation).aggregate(deepest=Max("depth"))["deepest"]
    return 0 if deepest is None else deepest + 1
