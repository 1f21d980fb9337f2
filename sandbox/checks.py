"""System checks: is the sandbox at its best here?"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's name

from sandbox import selftest
from sandbox.capabilities import registry
from sandbox.capabilities.base import COMMON_QUANTITIES


@register(Tags.security, deploy=True)
def fast_path(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Told by ``manage.py check --deploy``, because the self-test starts a process."""
    verdict = selftest.verdict()
    if verdict.passed:
        return []
    return [
        Warning(
            f"Plugins run by the slower public interface of wasmtime: {verdict.reason}",
            hint="Install the version of wasmtime that requirements.txt names. Nothing else changes.",
            id="sandbox.W001",
        )
    ]


@register
def ceilings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A ceiling that is misspelt would limit nothing, and nobody would see it."""
    wrong = [
        f"{name}.{one}"
        for name, quantities in settings.SANDBOX_CEILINGS.items()
        for one in quantities
        if one not in _numbers(name)
    ]
    return [
        Error(
            f"ZELAVIS_SANDBOX_CEILINGS: no capability has the quantity {one}.",
            hint="The names stand in docs/reference/capabilities.md.",
            id="sandbox.E001",
        )
        for one in wrong
    ]


def _numbers(name: str) -> set[str]:
    """The quantities of a capability that are numbers."""
    capability = registry.get(name)
    if capability is None:
        return set()
    schemas = {**COMMON_QUANTITIES, **capability.quantities}
    return {quantity for quantity, schema in schemas.items() if schema.get("type") == "integer"}
