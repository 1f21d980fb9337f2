"""Configuration from the environment: every ``ZELAVIS_*`` variable is read here and nowhere else.

``read()`` returns one frozen :class:`Environment`. A value that cannot be understood raises
:class:`ConfigurationError`, whose message names the variable, the value's shape and what is expected;
values themselves are never echoed, because some of them are secrets.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent


#: A database whose packets vanish is given up after half a minute; the kernel's own times are a quarter of an hour
#: for what was sent, and two hours for a silent connection. Parameters of the URL go before these.
_DATABASE_PATIENCE = {
    "connect_timeout": "10",
    "tcp_user_timeout": "20000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}


class ConfigurationError(Exception):
    """A ZELAVIS_* variable has a value that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What the operator configured. Times are seconds, sizes are bytes."""

    #: Where the embedded database, the artifact cache, blobs and generated keys live.
    data_dir: Path
    #: Signs sessions, tokens and cache files. Generated and kept under ``data_dir`` when not given.
    secret_key: str = field(repr=False)
    #: Whether the operator gave the secret key, or one was generated.
    secret_key_given: bool
    #: Django's database settings, from ``ZELAVIS_DATABASE_URL`` (``sqlite:///path`` or ``postgresql://…``).
    database: dict[str, object] = field(repr=False)
    #: Celery's broker; ``memory://localhost/`` is the embedded default and only rings inside ``manage.py up``.
    broker_url: str = field(repr=False)
    #: Host names the server answers to.
    allowed_hosts: tuple[str, ...]
    #: Origins trusted for form posts behind a proxy, with scheme.
    trusted_origins: tuple[str, ...]
    #: Public base URL, used in links that leave the server (token pages, feeds).
    public_url: str
    #: Development only: tracebacks in the browser.
    debug: bool
    #: ``DEBUG`` … ``ERROR``.
    log_level: str
    #: ``text`` for people, ``json`` for machines.
    log_format: str
    #: SQLite only: ``NORMAL`` survives a killed process, ``FULL`` also a power cut, at a cost per commit.
    sqlite_synchronous: str
    #: Base URL of the default HTTP tenant of durable runs; empty: none.
    runs_tenant_url: str
    #: HMAC key for requests to that tenant.
    runs_tenant_secret: str = field(repr=False)
    #: How long ``POST /api/runs`` drives a run in the request before it hands over to a worker.
    runs_request_seconds: float
    #: How long a driver may hold a run without a commit before another may take it.
    runs_lease_seconds: float
    #: Key of requests from Zelavis to plugin workers, and of requests this server accepts as one.
    worker_secret: str = field(repr=False)
    #: While that is being changed: the one before, which still counts.
    worker_secret_before: str = field(repr=False)
    #: ``true``: wasm traps by explicit checks instead of signals; safe whatever else is loaded in the process.
    sandbox_hardened: bool
    #: Plugin calls at once in one process, and how many plugins stay warm there.
    sandbox_slots: int
    #: ``each``: a call's row is written with its effects; ``batched``: within a second, many at once.
    sandbox_ledger: str
    #: One of so many good calls has a row; every other call has one always.
    sandbox_ledger_sample: int
    #: Days after which rows of calls go.
    sandbox_ledger_days: int
    #: Part of the good calls that leave a tape, 0 to 1; a call that fails always may.
    sandbox_tape_sample: float
    #: Days after which tapes go.
    sandbox_tape_days: int
    #: Quantities that no plugin gets more of, whatever its manifest says: capability to quantity to number.
    sandbox_ceilings: Mapping[str, Mapping[str, int]]
    #: Development only: ``localhost:PORT``s that plugins may reach although they are this machine.
    sandbox_loopback_hosts: tuple[str, ...]
    #: Workers for Platforms, for the adapter ``cloudflare``: account, token, dispatch namespace, the URL of the
    #: dispatch Worker that stands before the namespace, and the base URL of the management API.
    cloudflare_account_id: str
    cloudflare_api_token: str = field(repr=False)
    cloudflare_namespace: str
    cloudflare_dispatch_url: str
    cloudflare_api_url: str

    @property
    def worker_secrets(self) -> tuple[str, ...]:
        """The keys between servers and plugin workers that count, the newest first."""
        return tuple(key for key in (self.worker_secret, self.worker_secret_before) if key)

    @property
    def embedded(self) -> bool:
        """True when nothing but this checkout is needed: SQLite and the in-memory broker."""
        return self.broker_url.startswith("memory://") and "sqlite" in str(self.database["ENGINE"])


def read(environ: Mapping[str, str] | None = None) -> Environment:
    """Read and check the whole configuration.

    Raises:
        ConfigurationError: a variable cannot be understood.
    """
    env = os.environ if environ is None else environ
    data_dir = Path(env.get("ZELAVIS_DATA_DIR") or BASE_DIR / "var").expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"ZELAVIS_DATA_DIR: {data_dir} cannot be made: {error.strerror}.") from error
    given_key = env.get("ZELAVIS_SECRET_KEY", "")
    if given_key and len(given_key) < 32:
        raise ConfigurationError("ZELAVIS_SECRET_KEY: expected at least 32 characters.")
    synchronous = env.get("ZELAVIS_SQLITE_SYNCHRONOUS", "NORMAL").upper()
    return Environment(
        data_dir=data_dir,
        secret_key=given_key or _kept_secret(data_dir / "secret_key"),
        secret_key_given=bool(given_key),
        database=_database(
            env.get("ZELAVIS_DATABASE_URL", ""),
            data_dir,
            _one_of("ZELAVIS_SQLITE_SYNCHRONOUS", synchronous, ("NORMAL", "FULL", "EXTRA")),
        ),
        broker_url=_broker(env.get("ZELAVIS_BROKER_URL", "")),
        allowed_hosts=_words(env.get("ZELAVIS_ALLOWED_HOSTS", "")),
        trusted_origins=_origins(env.get("ZELAVIS_TRUSTED_ORIGINS", "")),
        public_url=_url("ZELAVIS_PUBLIC_URL", env.get("ZELAVIS_PUBLIC_URL", "")),
        debug=_boolean("ZELAVIS_DEBUG", env.get("ZELAVIS_DEBUG", "")),
        log_level=_one_of(
            "ZELAVIS_LOG_LEVEL", env.get("ZELAVIS_LOG_LEVEL", "INFO").upper(), ("DEBUG", "INFO", "WARNING", "ERROR")
        ),
        log_format=_one_of("ZELAVIS_LOG_FORMAT", env.get("ZELAVIS_LOG_FORMAT", "text").lower(), ("text", "json")),
        sqlite_synchronous=synchronous,
        runs_tenant_url=_url("ZELAVIS_RUNS_TENANT_URL", env.get("ZELAVIS_RUNS_TENANT_URL", "")),
        runs_tenant_secret=env.get("ZELAVIS_RUNS_TENANT_SECRET", ""),
        runs_request_seconds=_seconds("ZELAVIS_RUNS_REQUEST_SECONDS", env.get("ZELAVIS_RUNS_REQUEST_SECONDS", "10")),
        runs_lease_seconds=_seconds("ZELAVIS_RUNS_LEASE_SECONDS", env.get("ZELAVIS_RUNS_LEASE_SECONDS", "10")),
        worker_secret=env.get("ZELAVIS_WORKER_SECRET", ""),
        worker_secret_before=env.get("ZELAVIS_WORKER_SECRET_BEFORE", ""),
        sandbox_hardened=_boolean("ZELAVIS_SANDBOX_HARDENED", env.get("ZELAVIS_SANDBOX_HARDENED", "")),
        sandbox_slots=_whole("ZELAVIS_SANDBOX_SLOTS", env.get("ZELAVIS_SANDBOX_SLOTS", "64"), most=1000),
        sandbox_ledger=_one_of(
            "ZELAVIS_SANDBOX_LEDGER", env.get("ZELAVIS_SANDBOX_LEDGER", "each").lower(), ("each", "batched")
        ),
        sandbox_ledger_sample=_whole(
            "ZELAVIS_SANDBOX_LEDGER_SAMPLE", env.get("ZELAVIS_SANDBOX_LEDGER_SAMPLE", "1"), most=1_000_000
        ),
        sandbox_ledger_days=_whole(
            "ZELAVIS_SANDBOX_LEDGER_DAYS", env.get("ZELAVIS_SANDBOX_LEDGER_DAYS", "30"), most=3650
        ),
        sandbox_tape_sample=_share("ZELAVIS_SANDBOX_TAPE_SAMPLE", env.get("ZELAVIS_SANDBOX_TAPE_SAMPLE", "0")),
        sandbox_tape_days=_whole("ZELAVIS_SANDBOX_TAPE_DAYS", env.get("ZELAVIS_SANDBOX_TAPE_DAYS", "14"), most=3650),
        sandbox_ceilings=_ceilings("ZELAVIS_SANDBOX_CEILINGS", env.get("ZELAVIS_SANDBOX_CEILINGS", "")),
        sandbox_loopback_hosts=_loopback(
            env.get("ZELAVIS_SANDBOX_LOOPBACK_HOSTS", ""), debug=_boolean("ZELAVIS_DEBUG", env.get("ZELAVIS_DEBUG", ""))
        ),
        cloudflare_account_id=_word("ZELAVIS_CLOUDFLARE_ACCOUNT_ID", env.get("ZELAVIS_CLOUDFLARE_ACCOUNT_ID", "")),
        cloudflare_api_token=_token("ZELAVIS_CLOUDFLARE_API_TOKEN", env.get("ZELAVIS_CLOUDFLARE_API_TOKEN", "")),
        cloudflare_namespace=_word("ZELAVIS_CLOUDFLARE_NAMESPACE", env.get("ZELAVIS_CLOUDFLARE_NAMESPACE", "")),
        cloudflare_dispatch_url=_url("ZELAVIS_CLOUDFLARE_DISPATCH_URL", env.get("ZELAVIS_CLOUDFLARE_DISPATCH_URL", "")),
        cloudflare_api_url=_url("ZELAVIS_CLOUDFLARE_API_URL", env.get("ZELAVIS_CLOUDFLARE_API_URL", ""))
        or "https://api.cloudflare.com/client/v4",
    )


def _kept_secret(path: Path) -> str:
    """The generated key of an embedded installation, made once and readable by its owner alone."""
    try:
        kept = path.read_text(encoding="ascii").strip()
        if len(kept) >= 32:
            return kept
    except FileNotFoundError:
        pass
    made = secrets.token_urlsafe(48)
    # O_EXCL: of two processes that start at once, one makes the key and the other reads it.
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        kept = path.read_text(encoding="ascii").strip()
        if len(kept) < 32:
            raise ConfigurationError(f"{path} is damaged; remove it to have a new key made.") from None
        return kept
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(made + "\n")
    return made


def _database(url: str, data_dir: Path, synchronous: str) -> dict[str, object]:
    if not url:
        url = f"sqlite:///{data_dir / 'zelavis.sqlite3'}"
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "zelavis.sqlite",
            "NAME": unquote(url.removeprefix("sqlite:///")) or str(data_dir / "zelavis.sqlite3"),
            # Opening and closing a connection for each request cost a third of it.
            "CONN_MAX_AGE": 600,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": (
                    f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA temp_store=MEMORY;"
                    "PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-20000;"
                ),
            },
        }
    if parts.scheme in ("postgresql", "postgres"):
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigurationError("ZELAVIS_DATABASE_URL: the port is not a number.") from error
        if not parts.path.strip("/"):
            raise ConfigurationError("ZELAVIS_DATABASE_URL: expected a database name after the last slash.")
        return {
            "ENGINE": "zelavis.postgresql",
            "NAME": unquote(parts.path.strip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {**_DATABASE_PATIENCE, **dict(parse_qsl(parts.query))},
        }
    raise ConfigurationError("ZELAVIS_DATABASE_URL: expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME.")


def _broker(url: str) -> str:
    if not url:
        return "memory://localhost/"
    if urlsplit(url).scheme not in ("memory", "redis", "rediss", "amqp", "amqps"):
        raise ConfigurationError("ZELAVIS_BROKER_URL: expected redis://… or amqp://…; unset: the in-memory broker.")
    return url


def _url(name: str, value: str) -> str:
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name}: expected an http:// or https:// URL.")
    return value.rstrip("/")


def _origins(value: str) -> tuple[str, ...]:
    return tuple(_url("ZELAVIS_TRUSTED_ORIGINS", word) for word in _words(value))


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _share(name: str, given: str) -> float:
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(f"{name}: expected a share from 0 to 1, not {given!r}.")
    return share


def _boolean(name: str, value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in ("", "0", "false", "no", "off"):
        return False
    if lowered in ("1", "true", "yes", "on"):
        return True
    raise ConfigurationError(f"{name}: expected true or false.")


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError as error:
        raise ConfigurationError(f"{name}: expected a number of seconds.") from error
    if not 0 < seconds <= 3600:
        raise ConfigurationError(f"{name}: expected more than 0 and at most 3600 seconds.")
    return seconds


def _word(name: str, value: str) -> str:
    """A part of a URL's path: nothing in it that would make it more than one."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,128}", value):
        raise ConfigurationError(f"{name}: expected letters, digits, dashes and underscores.")
    return value


def _token(name: str, value: str) -> str:
    """A header's value: visible ASCII, as copied."""
    if not re.fullmatch(r"[!-~]{0,1000}", value):
        raise ConfigurationError(f"{name}: expected visible ASCII characters without spaces.")
    return value


def _whole(name: str, value: str, *, most: int) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) <= most:
        raise ConfigurationError(f"{name}: expected a whole number from 1 to {most}.")
    return int(value)


def _ceilings(name: str, value: str) -> dict[str, dict[str, int]]:
    """``kv.bytes=65536,http.callsPerHour=100``: the operator's own quantities. Which there are is checked later."""
    found: dict[str, dict[str, int]] = {}
    for word in _words(value):
        match = re.fullmatch(r"([a-z]+(?::[a-z]+)?)\.([a-zA-Z]+)=([0-9]{1,15})", word)
        if match is None:
            raise ConfigurationError(f"{name}: expected capability.quantity=number, separated by commas.")
        capability, quantity, number = match.groups()
        if quantity in found.setdefault(capability, {}):
            raise ConfigurationError(f"{name}: {capability}.{quantity} is given twice.")
        found[capability][quantity] = int(number)
    return found


def _loopback(value: str, *, debug: bool) -> tuple[str, ...]:
    """Ports of this machine for plugins under development. Nothing that serves others can have them open."""
    found = _words(value.lower())
    if found and not debug:
        raise ConfigurationError("ZELAVIS_SANDBOX_LOOPBACK_HOSTS: only with ZELAVIS_DEBUG=true.")
    if not all(re.fullmatch(r"localhost:[1-9][0-9]{0,4}", one) for one in found):
        raise ConfigurationError("ZELAVIS_SANDBOX_LOOPBACK_HOSTS: expected localhost:PORT, separated by commas.")
    return found


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ConfigurationError(f"{name}: expected one of {', '.join(choices)}.")
    return value
