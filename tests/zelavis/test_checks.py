"""Half a configuration is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zelavis import checks
from zelavis.environment import read

KEY = "0123456789abcdef0123456789abcdef"
WHOLE = {
    "ZELAVIS_DATABASE_URL": "postgresql://u:p@h/n",
    "ZELAVIS_BROKER_URL": "redis://h",
    "ZELAVIS_SECRET_KEY": KEY,
    "ZELAVIS_ALLOWED_HOSTS": "example.com",
    "ZELAVIS_RUNS_TENANT_URL": "http://tenant",
    "ZELAVIS_RUNS_TENANT_SECRET": "s",
    "ZELAVIS_CLOUDFLARE_ACCOUNT_ID": "account",
    "ZELAVIS_CLOUDFLARE_API_TOKEN": "token",
    "ZELAVIS_CLOUDFLARE_NAMESPACE": "production",
    "ZELAVIS_CLOUDFLARE_DISPATCH_URL": "https://plugins.example.com",
}


def found(tmp_path: Path, settings: Any, variables: dict[str, str]) -> set[str]:
    settings.ENVIRONMENT = read({"ZELAVIS_DATA_DIR": str(tmp_path), **variables})
    return {str(error.id) for error in checks.configuration(None)}


@pytest.mark.parametrize("variables", [{}, WHOLE])
def test_a_whole_configuration_passes(tmp_path: Path, settings: Any, variables: dict[str, str]) -> None:
    """Nothing set at all, and everything set, are both fine."""
    assert found(tmp_path, settings, variables) == set()


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ("ZELAVIS_BROKER_URL", "zelavis.E001"),
        ("ZELAVIS_DATABASE_URL", "zelavis.E002"),
        ("ZELAVIS_SECRET_KEY", "zelavis.E003"),
        ("ZELAVIS_ALLOWED_HOSTS", "zelavis.E004"),
        ("ZELAVIS_RUNS_TENANT_SECRET", "zelavis.E005"),
        ("ZELAVIS_RUNS_TENANT_URL", "zelavis.E006"),
        ("ZELAVIS_CLOUDFLARE_API_TOKEN", "zelavis.E007"),
        ("ZELAVIS_CLOUDFLARE_DISPATCH_URL", "zelavis.E007"),
    ],
)
def test_each_missing_half_has_its_error(tmp_path: Path, settings: Any, without: str, expected: str) -> None:
    """Leaving out one variable of a pair is an error of its own."""
    variables = {name: value for name, value in WHOLE.items() if name != without}
    assert found(tmp_path, settings, variables) == {expected}
