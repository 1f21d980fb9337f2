"""System checks: half a configuration is refused before anything starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Error, register

from zelavis.environment import Environment


@register()
def configuration(app_configs: Any, **kwargs: Any) -> list[Error]:
    """What the variables mean together."""
    environment: Environment = settings.ENVIRONMENT
    postgresql = "postgresql" in str(environment.database["ENGINE"])
    memory = environment.broker_url.startswith("memory")
    found = []
    if postgresql and memory:
        found.append(
            Error(
                "ZELAVIS_DATABASE_URL is PostgreSQL but ZELAVIS_BROKER_URL is not set.",
                hint="Several processes need a broker between them: redis://… or amqp://…",
                id="zelavis.E001",
            )
        )
    if not memory and not postgresql:
        found.append(
            Error(
                "ZELAVIS_BROKER_URL is set but the database is SQLite.",
                hint="Workers apart from the web server need PostgreSQL: set ZELAVIS_DATABASE_URL.",
                id="zelavis.E002",
            )
        )
    if not environment.embedded and not environment.secret_key_given:
        found.append(
            Error(
                "ZELAVIS_SECRET_KEY is not set.",
                hint="Every process must use the same one, of at least 32 characters.",
                id="zelavis.E003",
            )
        )
    if not environment.embedded and not environment.allowed_hosts:
        found.append(
            Error("ZELAVIS_ALLOWED_HOSTS is not set.", hint="Name the host names of this server.", id="zelavis.E004")
        )
    if environment.runs_tenant_url and not environment.runs_tenant_secret:
        found.append(
            Error(
                "ZELAVIS_RUNS_TENANT_URL is set but ZELAVIS_RUNS_TENANT_SECRET is not.",
                hint="Step requests are signed; give the tenant and this server the same secret.",
                id="zelavis.E005",
            )
        )
    if environment.runs_tenant_secret and not environment.runs_tenant_url:
        found.append(
            Error(
                "ZELAVIS_RUNS_TENANT_SECRET is set but ZELAVIS_RUNS_TENANT_URL is not.",
                hint="Say where the tenant listens.",
                id="zelavis.E006",
            )
        )
    return found + _cloudflare(environment)


def _cloudflare(environment: Environment) -> list[Error]:
    """The adapter needs its four variables, or none of them."""
    variables = {
        "ZELAVIS_CLOUDFLARE_ACCOUNT_ID": environment.cloudflare_account_id,
        "ZELAVIS_CLOUDFLARE_API_TOKEN": environment.cloudflare_api_token,
        "ZELAVIS_CLOUDFLARE_NAMESPACE": environment.cloudflare_namespace,
        "ZELAVIS_CLOUDFLARE_DISPATCH_URL": environment.cloudflare_dispatch_url,
    }
    lacking = [name for name, value in variables.items() if not value]
    if not lacking or len(lacking) == len(variables):
        return []
    return [
        Error(
            f"The adapter cloudflare is configured in part; not set: {', '.join(lacking)}.",
            hint="Set all four ZELAVIS_CLOUDFLARE_… variables, or none.",
            id="zelavis.E007",
        )
    ]
