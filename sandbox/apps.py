"""The sandbox app."""

from __future__ import annotations

from django.apps import AppConfig


class SandboxConfig(AppConfig):
    """See the package's docstring."""

    name = "sandbox"
    verbose_name = "Sandbox"

    def ready(self) -> None:
        from sandbox import checks, host, tape  # noqa: F401  checks registers itself

        if tape.observe not in host.OBSERVERS:
            host.OBSERVERS.append(tape.observe)
