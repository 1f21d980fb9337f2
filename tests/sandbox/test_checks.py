"""System checks of the sandbox."""

from __future__ import annotations

from typing import Any

from sandbox import checks


def test_a_misspelt_ceiling_is_an_error(settings: Any) -> None:
    """A ceiling for a capability or quantity that there is not, or that is no number, stops the start by its name."""
    settings.SANDBOX_CEILINGS = {"kv": {"bytes": 1, "byte": 1}, "kvs": {"bytes": 1}, "http": {"hosts": 1}}
    found = checks.ceilings(None)
    assert {one.msg.rpartition(" ")[2] for one in found} == {"kv.byte.", "kvs.bytes.", "http.hosts."}
    assert {one.id for one in found} == {"sandbox.E001"}
    settings.SANDBOX_CEILINGS = {"kv": {"bytes": 1, "callsPerHour": 5}, "runs:trigger": {"callsPerInvocation": 1}}
    assert checks.ceilings(None) == []
