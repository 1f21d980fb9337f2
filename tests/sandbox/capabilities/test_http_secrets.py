"""``secrets``: rows D05 and D06 of the hostile matrix, against real sockets on loopback."""

from __future__ import annotations

import base64
from typing import Any

from sandbox.capabilities.backends.memory import MemoryBackend
from tests.sandbox.capabilities.harness import ask, code_of, make
from tests.sandbox.capabilities.web import Handler, grants, server

__all__ = ["server"]
SECRET = "s3cret-value-0123"


def _with_secret(server: Any, **binding: Any) -> tuple[dict[str, Any], MemoryBackend]:
    backend = MemoryBackend()
    backend.rest.secrets["one", "key"] = SECRET
    bound = {"host": f"http://{server.origin}", "path": "/v1", "prefix": "Bearer ", **binding}
    granted = grants(f"http://{server.origin}", callsPerInvocation=50)
    return {**granted, "secrets": {"reason": "t", "names": {"key": bound}}}, backend


def test_d05_secrets_go_to_their_host_only(server: Any) -> None:
    """D05: a secret is put into a request to its bound host and path, and refused everywhere else."""
    Handler.answers["/v1/a"] = lambda h: h.plain(b"fine")
    grant, backend = _with_secret(server)
    session = make(grant, backend=backend)
    base = f"http://{server.origin}"
    told = ask(session, "http", "fetch", f"{base}/v1/a", {"secret": "key", "headers": {"authorization": "mine"}})
    assert told["text"] == "fine"
    assert Handler.seen[0][2]["authorization"] == f"Bearer {SECRET}"
    for path in ("/v2", "/v1x", "/", "/v1/../v2", "/v1/%2e%2e/v2", "/v1//x"):
        assert code_of(session, "http", "fetch", base + path, {"secret": "key"}) == "secret_refused"
    assert code_of(session, "http", "fetch", f"{base}/v1/a", {"secret": "other"}) == "secret_refused"
    other, _ = _with_secret(server, host="api.example.com")
    assert code_of(make(other, backend=backend), "http", "fetch", f"{base}/v1/a", {"secret": "key"}) == "secret_refused"
    assert len(Handler.seen) == 1


def test_d06_an_echo_does_not_hand_out_the_secret(server: Any) -> None:
    """D06: a server that echoes what it got gives the guest a blank, and so do transcript and log."""

    def echo(handler: Handler) -> None:
        got = handler.headers["Authorization"]
        encoded = base64.b64encode(f"user:{got}".encode()).decode()
        handler.plain(f"you sent {got}".encode(), X_Echo=got, X_Hex=got.encode().hex(), X_Base64=encoded)

    Handler.answers["/v1"] = echo
    grant, backend = _with_secret(server)
    session = make(grant, backend=backend)
    told = ask(session, "http", "fetch", f"http://{server.origin}/v1", {"secret": "key"})
    assert told["text"] == "you sent Bearer [redacted]"
    ask(session, "log", "info", SECRET)
    session.commit()
    everything = repr(session.transcript) + repr(session.logs) + repr(told)
    assert SECRET not in everything
    assert SECRET.encode().hex() not in everything
    assert "[redacted]" in told["headers"]["x-hex"]
    assert "[redacted]" in told["headers"]["x-base64"]
    assert ask(make(grant, backend=backend), "secrets", "list") == [{"name": "key", "set": True}]


def test_a_secret_that_nobody_set_is_missing(server: Any) -> None:
    """A declared secret without a value gives a clear fault, and nothing is sent."""
    grant, _ = _with_secret(server)
    session = make(grant, backend=MemoryBackend())
    assert code_of(session, "http", "fetch", f"http://{server.origin}/v1", {"secret": "key"}) == "secret_missing"
    assert Handler.seen == []


def test_secrets_are_encrypted_at_rest(db: None) -> None:
    """The database holds no readable secret, and the right key reads it back."""
    from sandbox.capabilities.backends.database import DatabaseBackend
    from sandbox.capabilities.secrets import seal
    from sandbox.models import PluginSecret

    PluginSecret.objects.create(plugin="one", name="key", sealed=seal(SECRET))
    assert SECRET not in PluginSecret.objects.get().sealed
    assert DatabaseBackend().secret("one", "key") == SECRET
