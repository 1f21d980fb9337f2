"""System checks: is the sandbox at its best here?"""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004  Django's name

from sandbox import selftest


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
