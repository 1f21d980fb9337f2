"""Reading the configuration."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelavis.environment import ConfigurationError, read


def test_nothing_set_is_the_embedded_default(tmp_path: Path) -> None:
    """Without any variable but the data directory, Zelavis runs on SQLite and the in-memory broker."""
    environment = read({"ZELAVIS_DATA_DIR": str(tmp_path)})
    assert environment.embedded
    assert environment.database["NAME"] == str(tmp_path / "zelavis.sqlite3")
    assert not environment.secret_key_given


def test_the_generated_key_is_kept_and_private(tmp_path: Path) -> None:
    """A second start reads the key that the first one made, and only its owner may read the file."""
    first = read({"ZELAVIS_DATA_DIR": str(tmp_path)}).secret_key
    assert read({"ZELAVIS_DATA_DIR": str(tmp_path)}).secret_key == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_postgresql_url_is_taken_apart(tmp_path: Path) -> None:
    """Each part of a PostgreSQL URL lands in its setting, percent-decoded, and goes before our patience."""
    url = "postgresql://us%40er:p%2Fw@db.internal:5433/name?sslmode=require&connect_timeout=3"
    database = read({"ZELAVIS_DATA_DIR": str(tmp_path), "ZELAVIS_DATABASE_URL": url}).database
    assert (database["USER"], database["PASSWORD"], database["HOST"]) == ("us@er", "p/w", "db.internal")
    assert (database["PORT"], database["NAME"]) == ("5433", "name")
    options = database["OPTIONS"]
    assert isinstance(options, dict)
    assert (options["sslmode"], options["connect_timeout"], options["tcp_user_timeout"]) == ("require", "3", "20000")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZELAVIS_DATABASE_URL", "mysql://x/y"),
        ("ZELAVIS_DATABASE_URL", "postgresql://host"),
        ("ZELAVIS_DATABASE_URL", "postgresql://host:port/name"),
        ("ZELAVIS_BROKER_URL", "kafka://x"),
        ("ZELAVIS_SECRET_KEY", "short"),
        ("ZELAVIS_DEBUG", "perhaps"),
        ("ZELAVIS_LOG_LEVEL", "LOUD"),
        ("ZELAVIS_LOG_FORMAT", "xml"),
        ("ZELAVIS_RUNS_LEASE_SECONDS", "0"),
        ("ZELAVIS_RUNS_REQUEST_SECONDS", "soon"),
        ("ZELAVIS_RUNS_TENANT_URL", "ftp://tenant"),
        ("ZELAVIS_PUBLIC_URL", "example.com"),
        ("ZELAVIS_SQLITE_SYNCHRONOUS", "OFF"),
        ("ZELAVIS_SANDBOX_TAPE_SAMPLE", "1.5"),
        ("ZELAVIS_SANDBOX_TAPE_SAMPLE", "nan"),
        ("ZELAVIS_SANDBOX_TAPE_DAYS", "0"),
        ("ZELAVIS_SANDBOX_CEILINGS", "kv=1"),
        ("ZELAVIS_SANDBOX_CEILINGS", "kv.bytes=-1"),
        ("ZELAVIS_SANDBOX_CEILINGS", "kv.bytes=1,kv.bytes=2"),
        ("ZELAVIS_SANDBOX_CEILINGS", '{"kv": {"bytes": 1}}'),
        ("ZELAVIS_SANDBOX_LOOPBACK_HOSTS", "localhost:9000"),
        ("ZELAVIS_CLOUDFLARE_ACCOUNT_ID", "../accounts/another"),
        ("ZELAVIS_CLOUDFLARE_NAMESPACE", "production/scripts"),
        ("ZELAVIS_CLOUDFLARE_API_TOKEN", "token\r\nx-evil: 1"),
        ("ZELAVIS_CLOUDFLARE_DISPATCH_URL", "plugins.example.com"),
        ("ZELAVIS_CLOUDFLARE_API_URL", "file:///etc"),
    ],
)
def test_a_wrong_value_names_its_variable(tmp_path: Path, name: str, value: str) -> None:
    """A value that cannot be used stops the start with the variable's name, and is not repeated."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        read({"ZELAVIS_DATA_DIR": str(tmp_path), name: value})
    assert value not in str(caught.value) or len(value) < 4


@given(st.text(max_size=60).filter(lambda text: "\x00" not in text))
def test_any_database_url_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, url: str) -> None:
    """No text given as a database URL ends in anything but settings or a configuration error."""
    directory = tmp_path_factory.getbasetemp()
    with contextlib.suppress(ConfigurationError):
        read({"ZELAVIS_DATA_DIR": str(directory), "ZELAVIS_DATABASE_URL": url})


def test_secrets_do_not_show_in_its_representation(tmp_path: Path) -> None:
    """Printing the configuration shows no key, password or secret."""
    environment = read(
        {
            "ZELAVIS_DATA_DIR": str(tmp_path),
            "ZELAVIS_SECRET_KEY": "k" * 40,
            "ZELAVIS_DATABASE_URL": "postgresql://u:hidden@h/n",
            "ZELAVIS_RUNS_TENANT_SECRET": "hidden",
            "ZELAVIS_WORKER_SECRET": "hidden",
            "ZELAVIS_CLOUDFLARE_API_TOKEN": "hidden",
        }
    )
    assert "hidden" not in repr(environment)
    assert "kkkk" not in repr(environment)


def test_ceilings_and_tapes_are_read(tmp_path: Path) -> None:
    """Each ceiling names a capability, a quantity and a number; the tape's part and days are numbers."""
    environment = read(
        {
            "ZELAVIS_DATA_DIR": str(tmp_path),
            "ZELAVIS_SANDBOX_CEILINGS": "kv.bytes=65536, content:read.callsPerHour=10,kv.keys=5",
            "ZELAVIS_SANDBOX_TAPE_SAMPLE": "0.01",
            "ZELAVIS_SANDBOX_TAPE_DAYS": "3",
        }
    )
    assert environment.sandbox_ceilings == {"kv": {"bytes": 65536, "keys": 5}, "content:read": {"callsPerHour": 10}}
    assert (environment.sandbox_tape_sample, environment.sandbox_tape_days) == (0.01, 3)


def test_this_machine_is_open_to_plugins_in_development_alone(tmp_path: Path) -> None:
    """Ports of this machine are named one by one as localhost, and only where errors are shown in the browser too."""
    given_ = {"ZELAVIS_DATA_DIR": str(tmp_path), "ZELAVIS_DEBUG": "true"}
    name = "ZELAVIS_SANDBOX_LOOPBACK_HOSTS"
    assert read({**given_, name: "localhost:9000,localhost:9001"}).sandbox_loopback_hosts == (
        "localhost:9000",
        "localhost:9001",
    )
    for value in ("127.0.0.1:9000", "localhost", "example.com:80", "*:80", "localhost:0"):
        with pytest.raises(ConfigurationError):
            read({**given_, name: value})
