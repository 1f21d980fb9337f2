"""The numbers of durable runs: leases, retries, limits. ``settings.RUNS`` may replace each by its name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Times are seconds unless the name says otherwise, sizes are bytes."""

    #: How long a driver may hold a run without a sign of life.
    lease_seconds: float = 10.0
    #: How long an API request drives a run before it answers ``running``.
    request_seconds: float = 10.0
    #: A worker gives a run back after so long, between two invocations, so that others get their turn.
    slice_seconds: float = 2.0
    #: Claims in a row without a commit until a run is declared dead.
    max_claims: int = 5
    #: Requests to the tenant in a run's whole life.
    max_invocations: int = 10_000
    #: Failed requests to the tenant in a row until the run is failed.
    max_attempts: int = 10
    #: Wait before the second attempt; doubled for each further one.
    retry_first_seconds: float = 0.5
    #: Longest wait between two attempts.
    retry_cap_seconds: float = 60.0
    #: Total time of one request to a tenant.
    dispatch_seconds: float = 60.0
    #: Largest answer of a tenant.
    max_response_bytes: int = 16 * 1024 * 1024
    #: Largest input, payload or metadata document.
    max_payload_bytes: int = 512 * 1024
    #: Buffer injections that match nothing yet, instead of the seed's 409 and 400.
    buffer_injections: bool = False
    #: PostgreSQL keeps the plans of hot statements; off behind a transaction pooler that cannot carry them.
    prepared_statements: bool = True
    #: Terminal runs older than this are removed; 0 keeps them.
    retention_days: float = 0.0
    #: Plugin → the tenant as which it starts and signals runs; a plugin that is not named has a tenant of its own.
    plugin_tenants: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def _policy() -> Policy:
    environment = settings.ENVIRONMENT
    given = dict(getattr(settings, "RUNS", {}))
    unknown = set(given) - {each.name for each in fields(Policy)}
    if unknown:
        raise ValueError(f"settings.RUNS has no {', '.join(sorted(unknown))}")
    return Policy(
        **{
            "lease_seconds": environment.runs_lease_seconds,
            "request_seconds": environment.runs_request_seconds,
            **given,
        }
    )


def current() -> Policy:
    """The policy of this process."""
    return _policy()


def reset() -> None:
    """Read the settings again."""
    _policy.cache_clear()
