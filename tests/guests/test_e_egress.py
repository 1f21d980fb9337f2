"""Rows E of the hostile matrix as a guest meets them: JavaScript that fetches, real sockets on loopback.

Every spelling and every fault of the far side is tried in tests/sandbox/capabilities/test_http*.py; here one of each
goes the whole way, through ``ctx.http.fetch``, the host call and back into the guest, which can catch it.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest

from sandbox.artifact import Artifact
from sandbox.capabilities import egress
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.outcome import Outcome
from tests.sandbox.capabilities.web import HEAD, Handler, grants, raw, resolver, server, untrusted
from tests.sandbox.guests import call, javascript

__all__ = ["server", "untrusted"]

GUEST = """async (event, ctx) => {
  const told = [];
  for (const [url, init] of event) {
    try { const answer = await ctx.http.fetch(url, init ?? undefined); told.push([answer.status, answer.text]); }
    catch (error) { told.push(error.code); }
  }
  return told;
}"""


@functools.cache
def guest() -> Artifact:
    """The guest that fetches what the event lists and tells each status and text, or code."""
    return javascript(GUEST)


def run(*urls: Any, host: str = "api.example.com", deadline_ms: int = 5000, **more: Any) -> Outcome:
    """One call of the guest that was granted ``host``."""
    grant = more.pop("grant", None) or grants(host, callsPerInvocation=50)
    event = [url if isinstance(url, list) else [url, None] for url in urls]
    return call(guest(), event=event, grants=grant, limits={"deadline_ms": deadline_ms}, **more)


def refused(outcome: Outcome) -> list[Any]:
    """What the guest caught; every refusal is also counted by the host."""
    assert outcome.status == "ok", outcome
    assert all(isinstance(code, str) for code in outcome.result), outcome.result
    return list(outcome.result)


@pytest.mark.parametrize("address", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "127.1", "0"])
def test_e01_a_guest_reaches_no_ipv4_address(address: str) -> None:
    """E01: an address in any spelling is no host that could have been granted, even where the grant says it."""
    outcome = run(f"http://{address}/", host=address)
    assert refused(outcome) == ["host_refused"]
    assert [one.code for one in outcome.refusals] == ["host_refused"]


@pytest.mark.parametrize("address", ["[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
def test_e02_a_guest_reaches_no_ipv6_address(address: str) -> None:
    """E02: neither a literal of IPv6 nor one that holds an address of IPv4."""
    assert refused(run(f"http://{address}/", host=address))[0] in ("host_refused", "invalid_url", "invalid_argument")


@pytest.mark.parametrize("address", ["169.254.169.254", "100.64.0.1", "10.0.0.1", "224.0.0.1", "192.0.2.1"])
def test_e03_e04_a_granted_name_leads_a_guest_nowhere_inside(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """E03, E04: a granted name that resolves to metadata, shared, private, multicast or test addresses is refused."""
    resolver(monkeypatch, [address])
    assert refused(run("https://api.example.com/")) == ["address_refused"]


def test_e05_a_guest_is_connected_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """E05: one look-up a request, and the connection goes to its answer."""
    asked = resolver(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    connected: list[Any] = []

    def connect(sock: Any, address: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(egress.socket.socket, "connect", connect)
    assert refused(run("https://api.example.com/")) == ["connect_failed"]
    assert (asked, connected) == (["api.example.com"], [("93.184.216.34", 443)])


def test_e06_one_private_address_keeps_a_guest_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """E06: a name with a public and a private address is refused as a whole."""
    resolver(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    assert refused(run("https://api.example.com/")) == ["address_refused"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_e07_e08_a_guest_is_led_nowhere_by_redirects(server: Any, status: int) -> None:
    """E07, E08: the guest gets the redirect itself; nothing is sent on."""
    Handler.answers["/a"] = lambda h: h.plain(b"", status=status, Location="http://169.254.169.254/")
    url = f"http://{server.origin}/a"
    assert run([url, {"method": "POST", "body": "x"}], host=f"http://{server.origin}").result == [[status, ""]]
    assert len(Handler.seen) == 1


def test_e09_look_alikes_of_a_granted_host_are_refused() -> None:
    """E09: a suffix, user, path, backslash, escape or homograph does not make another host the granted one."""
    urls = [
        "https://api.example.com.evil.com/", "https://api.example.com@evil.com/", "https://evil.com\\@api.example.com/",
        "https://api.example.com%2eevil.com/", "https://аpi.example.com/", "https://evil.com#api.example.com",
    ]  # fmt: skip
    codes = refused(run(*urls))
    assert len(codes) == len(urls)
    assert set(codes) <= {"host_refused", "invalid_url"}


def test_e10_a_wildcard_covers_names_below_only() -> None:
    """E10: not the name itself, not one that ends alike, and none below a suffix that everybody shares."""
    assert (
        refused(run("https://example.com/", "https://evilexample.com/", host="*.example.com")) == ["host_refused"] * 2
    )
    assert refused(run("https://evil.co.uk/", host="*.co.uk")) == ["host_refused"]


def test_e11_ports_that_were_not_granted_are_refused() -> None:
    """E11: the port is part of the grant."""
    ports = (22, 25, 6379, 5432, 8443)
    assert refused(run(*(f"https://api.example.com:{port}/" for port in ports))) == ["host_refused"] * 5


def test_e12_a_guest_injects_no_header(server: Any) -> None:
    """E12: line breaks, framing, forwarding headers and odd methods are refused before anything is sent."""
    url = f"http://{server.origin}/a"
    inits: list[dict[str, Any]] = [
        {"headers": {"X-A": "b\r\nX-C: d"}}, {"headers": {"Host": "evil.com"}}, {"method": "GET / HTTP/1.1\r\nX: y"},
        {"headers": {"Content-Length": "3"}}, {"headers": {"Transfer-Encoding": "chunked"}}, {"method": "CONNECT"},
    ]  # fmt: skip
    outcome = run(*([url, init] for init in inits), host=f"http://{server.origin}")
    assert refused(outcome) == ["invalid_argument"] * len(inits)
    assert Handler.seen == []


def test_e13_slow_and_large_answers_end_for_a_guest(server: Any) -> None:
    """E13: a byte now and then ends at the time that the guest gave, a large body at the cap; the guest goes on."""
    Handler.answers["/slow"] = raw(server, HEAD + b"Content-Length: 40\r\n\r\n", *([b"x"] * 40), pause=0.05)
    Handler.answers["/large"] = lambda h: h.plain(b"x" * (4 << 20))
    Handler.answers["/well"] = lambda h: h.plain(b"y")
    root = f"http://{server.origin}"
    slow, large, well = run([f"{root}/slow", {"timeoutMs": 200}], f"{root}/large", f"{root}/well", host=root).result
    assert (slow, well) == ("timeout", [200, "y"])
    assert large in ("response_too_large", "host_bytes_exceeded")


def test_e14_a_hanging_look_up_costs_a_guest_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """E14: a resolver that does not answer ends with the call's own deadline."""
    release = threading.Event()

    def hang(*args: Any, **kwargs: Any) -> list[Any]:
        release.wait(20)
        return []

    monkeypatch.setattr(egress.socket, "getaddrinfo", hang)
    try:
        outcome = run("https://api.example.com/", deadline_ms=300)
    finally:
        release.set()
    assert outcome.status == "deadline" or outcome.result == ["timeout"]
    assert outcome.duration_ms < 5000


def test_e15_a_guest_floods_nobody(server: Any) -> None:
    """E15: requests end at the quantity of a call, and over calls at that of the hour."""
    Handler.answers["/a"] = lambda h: h.plain(b"x")
    grant = grants(f"http://{server.origin}", callsPerInvocation=2, callsPerHour=3)
    urls, backend = [f"http://{server.origin}/a"] * 3, MemoryBackend()
    assert run(*urls, grant=grant, backend=backend).result == [[200, "x"], [200, "x"], "calls_exceeded"]
    assert run(*urls[:2], grant=grant, backend=backend).result == [[200, "x"], "quota_exceeded"]
    assert len(Handler.seen) == 3


@pytest.mark.parametrize("name", ["localhost", "intranet", "printer.local", "db.internal"])
def test_e16_names_of_private_networks_lead_nowhere(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """E16: a manifest cannot ask for them; a grant that names one all the same opens nothing inside."""
    resolver(monkeypatch, ["10.0.0.7"])
    assert refused(run(f"https://{name}/", host=name))[0] in ("host_refused", "address_refused")


def test_e17_proxy_variables_do_not_lead_a_guest_away(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """E17: HTTP_PROXY and its kin change nothing."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    Handler.answers["/a"] = lambda h: h.plain(b"x")
    root = f"http://{server.origin}"
    assert run(f"{root}/a", host=root).result == [[200, "x"]]


def test_e18_a_guest_talks_to_nobody_without_a_trusted_certificate(untrusted: str) -> None:
    """E18: a self-signed certificate fails the request."""
    assert refused(run(f"https://{untrusted}/", host=untrusted)) == ["tls_failed"]


def test_e19_nothing_is_kept_between_a_guests_requests(server: Any) -> None:
    """E19: a cookie that one answer sets is not sent with the next, in this call or another."""
    Handler.answers["/a"] = lambda h: h.plain(b"x", Set_Cookie="session=1")
    root = f"http://{server.origin}"
    for _ in range(2):
        run(f"{root}/a", f"{root}/a", host=root)
    assert len(Handler.seen) == 4
    assert all("cookie" not in headers for _, _, headers, _ in Handler.seen)
