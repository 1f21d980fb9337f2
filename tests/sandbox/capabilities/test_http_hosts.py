"""``http``, which names and addresses may be reached: rows E01 to E06, E09 to E11 and E16 of the hostile matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import publicsuffixlist
import pytest

from sandbox.capabilities import egress, hosts, suffixes
from sandbox.capabilities.faults import Fault, Refused
from tests.sandbox.capabilities.harness import HostFault, code_of, make
from tests.sandbox.capabilities.web import Handler, fetch, grants, resolver, server

__all__ = ["server"]
NUMERIC = ["127.0.0.1", "0.0.0.0", "0", "127.1", "2130706433", "0x7f.1", "0x7f000001", "017700000001", "1.2.3.4"]


@pytest.mark.parametrize("host", NUMERIC)
def test_e01_addresses_in_any_spelling_are_no_hosts(host: str) -> None:
    """E01: an IPv4 address is refused in every spelling that libc or a browser would take."""
    with pytest.raises(Refused):
        hosts.read(f"http://{host}/")
    assert hosts.problem(host) is not None


V6 = [
    "::",
    "::1",
    "::ffff:7f00:1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fe90::1",
    "fd00::1",
    "fe80::1%25eth0",
]


@pytest.mark.parametrize("address", V6)
def test_e02_ipv6_literals_are_refused(address: str) -> None:
    """E02: an IPv6 address in a URL is refused, and so would be the address behind a name."""
    with pytest.raises(Fault):
        hosts.read(f"http://[{address}]/")
    assert not egress.is_public(address.partition("%")[0])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "100.100.100.200", "fd00:ec2::254", "100.64.0.1", "198.18.0.1", "192.0.0.8", "192.0.2.1",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.2", "0.1.2.3",
        "192.88.99.1", "203.0.113.7", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
        "2001:0:4136:e378::1", "ff02::1", "2001:db8::1", "fec0::1", "100::1", "3fff::1", "not an address",
    ],
)  # fmt: skip
def test_e03_e04_addresses_that_are_not_public(address: str) -> None:
    """E03, E04: link-local, metadata, shared, test, multicast, reserved and embedded addresses are not public."""
    assert not egress.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_public(address: str) -> None:
    """Ordinary addresses of the internet pass."""
    assert egress.is_public(address)


def test_e03_names_that_lead_inside_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """E03: a declared name that resolves to a private address is refused, without a connection."""
    resolver(monkeypatch, ["169.254.169.254"])
    session = make(grants("api.example.com"))
    assert code_of(session, "http", "fetch", "https://api.example.com/") == "address_refused"
    assert [one.code for one in session.refusals] == ["address_refused"]


def test_e05_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """E05: the connection goes to the address that was looked at, whatever a second look-up would say."""
    asked = resolver(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    connected: list[Any] = []

    def connect(sock: Any, address: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(egress.socket.socket, "connect", connect)
    assert code_of(make(grants("api.example.com")), "http", "fetch", "https://api.example.com/") == "connect_failed"
    assert asked == ["api.example.com"]
    assert connected == [("93.184.216.34", 443)]


def test_e06_one_private_address_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """E06: a name with a public and a private address is refused as a whole."""
    resolver(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    assert code_of(make(grants("api.example.com")), "http", "fetch", "https://api.example.com/") == "address_refused"


def test_loopback_is_closed_by_default(server: Any, settings: Any) -> None:
    """Without the operator's setting a declared localhost leads nowhere, and the setting opens one port only."""
    settings.SANDBOX_LOOPBACK_HOSTS = ("localhost:1",)
    Handler.answers["/a"] = lambda h: h.plain(b"x")
    with pytest.raises(HostFault) as caught:
        fetch(server, "/a")
    assert caught.value.code == "address_refused"
    assert Handler.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "https://allowed.com.evil.com/", "https://evil.com/allowed.com", "https://allowed.com@evil.com/",
        "https://evil.com\\@allowed.com/", "https://allowed.com\\.evil.com/", "https://allowed.com./",
        "https://allowed.com%2eevil.com/", "https://аllowed.com/", "https://evil.com#allowed.com",
        "https://evil.com?allowed.com", "https://allowed.com:444/", "http://allowed.com/", "https://allowed.com:0/",
        "https://allowed.com:/", "https://sub.allowed.com/", "https:///allowed.com", "//allowed.com/",
        "ftp://allowed.com/", "file:///allowed.com", "gopher://allowed.com/", "https://allowed.com /",
        "https://allowed.com\r\nHost: evil.com/", "https://allowed.com:99999/", "javascript:allowed.com", "",
        "https://user:pw@allowed.com/", "https://allowed.com\t/", " https://allowed.com/", "https://[allowed.com]/",
    ],
)  # fmt: skip
def test_e09_only_the_exact_host_matches(url: str) -> None:
    """E09, E11: look-alikes, users, other ports and schemes, escapes and homographs are not the declared host."""
    session = make(grants("allowed.com"))
    assert code_of(session, "http", "fetch", url) in ("host_refused", "invalid_url", "invalid_argument")


def test_e09_case_does_not_matter() -> None:
    """E09: a name in upper case is the same name."""
    assert hosts.is_allowed(hosts.read("HTTPS://ALLOWED.com/x"), ["Allowed.COM"])


def test_e10_wildcards_cover_names_below_only() -> None:
    """E10: a wildcard matches names below it, not the apex and not a name that ends alike."""
    declared = ["*.example.com"]
    assert hosts.is_allowed(hosts.read("https://a.example.com/"), declared)
    assert hosts.is_allowed(hosts.read("https://a.b.example.com/"), declared)
    assert not hosts.is_allowed(hosts.read("https://example.com/"), declared)
    assert not hosts.is_allowed(hosts.read("https://evilexample.com/"), declared)


@pytest.mark.parametrize("pattern", ["*.co.uk", "*.github.io", "*.com", "*", "*.nip.io", "a.*.com", "*example.com"])
def test_e10_wildcards_over_shared_suffixes_are_refused(pattern: str) -> None:
    """E10: a wildcard under which anybody can have a name is refused in the manifest and matches nothing."""
    assert hosts.problem(pattern) is not None
    assert not hosts.is_allowed(hosts.read("https://evil.co.uk/"), [pattern])
    assert not hosts.is_allowed(hosts.read("https://evil.github.io/"), [pattern])


def test_e10_the_public_suffix_list_is_known() -> None:
    """E10: country, regional, private and unknown suffixes are shared, and so is a name that has one below it."""
    shared = ("com", "co.uk", "ck", "city.ck", "kawasaki.jp", "github.io", "xn--p1ai", "unheard-of")
    above = ("amazonaws.com", "windows.net", "jp", "nip.io")
    own = ("example.com", "example.co.uk", "city.kawasaki.jp", "someone.github.io", "www.ck", "api.stripe.com")
    assert [name for name in (*shared, *above) if not suffixes.is_shared(name)] == []
    assert [name for name in own if suffixes.is_shared(name)] == []


def test_e10_nothing_above_a_public_suffix_can_be_covered() -> None:
    """E10: each of the list's names is refused, and so is each name above it."""
    text = Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8")
    rules = [line for line in text.splitlines() if line and line.isascii() and not line.startswith(("//", "!", "*"))]
    assert len(rules) > 5000
    for rule in rules:
        labels = rule.split(".")
        assert all(suffixes.is_shared(".".join(labels[at:])) for at in range(len(labels))), rule


@pytest.mark.parametrize("host", ["db", "redis", "localhost", "api.svc", "metadata.google.internal", "nas.local"])
def test_e16_names_of_private_networks_are_refused(host: str) -> None:
    """E16: names without a dot and of private domains are refused when a manifest is audited."""
    assert hosts.problem(host) == "is a name of a private network"


def test_e11_only_declared_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """E11: a port is part of the declaration."""
    assert hosts.is_allowed(hosts.read("https://a.com:8443/"), ["a.com:8443"])
    for url in ("https://a.com/", "https://a.com:22/", "https://a.com:6379/"):
        assert not hosts.is_allowed(hosts.read(url), ["a.com:8443"])
