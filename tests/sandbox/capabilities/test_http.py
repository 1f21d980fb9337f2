"""``http`` and ``secrets``: rows D05, D06 and E of the hostile matrix, against real sockets on loopback."""

from __future__ import annotations

import base64
import gzip
import http.server
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import publicsuffixlist
import pytest

from sandbox.capabilities import egress, hosts, suffixes
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.capabilities.faults import Fault, Refused
from tests.sandbox.capabilities.harness import HostFault, ask, code_of, make

Answer = Callable[["_Handler"], None]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: dict[str, Answer] = {}
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.answers[self.path.partition("?")[0]](self)
        self.close_connection = True

    do_GET = do_POST = do_PUT = _any

    def plain(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(settings: Any) -> Iterator[Any]:
    """A real server on loopback, which the operator's setting lets plugins reach as ``localhost``."""
    _Handler.answers, _Handler.seen = {}, []
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.origin = f"localhost:{made.server_port}"  # type: ignore[attr-defined]
    settings.SANDBOX_LOOPBACK_HOSTS = (made.origin,)  # type: ignore[attr-defined]
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def grants(*names: str, **more: Any) -> dict[str, Any]:
    """A grant for these hosts."""
    return {"http": {"reason": "t", "hosts": list(names), **more}}


def fetch(server: Any, path: str, init: Any = None, *, grant: Any = None, **session: Any) -> Any:
    """One fetch through a new session."""
    made = make(grant or grants(f"http://{server.origin}", callsPerInvocation=50), **session)
    return ask(made, "http", "fetch", f"http://{server.origin}{path}", *([init] if init else []))


def test_a_request_goes_out_and_its_answer_comes_back(server: Any) -> None:
    """Method, headers and body arrive as given; status, headers and text come back."""
    _Handler.answers["/a"] = lambda h: h.plain("größe".encode(), Content_Type="text/plain", X_Two="2")
    init = {"method": "post", "headers": {"X-One": "1"}, "body": "hällo"}
    told = fetch(server, "/a?q=1", init)
    assert (told["status"], told["ok"], told["text"]) == (200, True, "größe")
    assert told["headers"]["x-two"] == "2"
    method, path, headers, body = _Handler.seen[0]
    assert (method, path, body.decode()) == ("POST", "/a?q=1", "hällo")
    assert headers["x-one"] == "1"
    assert headers["host"] == server.origin


def test_bytes_that_are_no_text_come_as_base64(server: Any) -> None:
    """A body that is not UTF-8 is given as base64."""
    _Handler.answers["/a"] = lambda h: h.plain(b"\xff\x00")
    assert fetch(server, "/a")["base64"] == "/wA="


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


def _resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Answer look-ups in turn; gives the list of names asked for."""
    asked: list[str] = []

    def look_up(host: str, port: int, **kwargs: Any) -> Any:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(egress.socket, "getaddrinfo", look_up)
    return asked


def test_e03_names_that_lead_inside_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """E03: a declared name that resolves to a private address is refused, without a connection."""
    _resolver(monkeypatch, ["169.254.169.254"])
    session = make(grants("api.example.com"))
    assert code_of(session, "http", "fetch", "https://api.example.com/") == "address_refused"
    assert [one.code for one in session.refusals] == ["address_refused"]


def test_e05_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """E05: the connection goes to the address that was looked at, whatever a second look-up would say."""
    asked = _resolver(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
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
    _resolver(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    assert code_of(make(grants("api.example.com")), "http", "fetch", "https://api.example.com/") == "address_refused"


def test_loopback_is_closed_by_default(server: Any, settings: Any) -> None:
    """Without the operator's setting a declared localhost leads nowhere, and the setting opens one port only."""
    settings.SANDBOX_LOOPBACK_HOSTS = ("localhost:1",)
    _Handler.answers["/a"] = lambda h: h.plain(b"x")
    with pytest.raises(HostFault) as caught:
        fetch(server, "/a")
    assert caught.value.code == "address_refused"
    assert _Handler.seen == []


@pytest.mark.parametrize("location", ["http://127.0.0.1/", "https://evil.example/", "file:///etc/passwd", "", "/b"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_e07_e08_redirects_are_not_followed(server: Any, location: str, status: int) -> None:
    """E07, E08: a redirect comes back as it is; nothing is sent on, least of all a body or a header."""
    _Handler.answers["/a"] = lambda h: h.plain(b"", status=status, Location=location)
    told = fetch(server, "/a", {"method": "POST", "body": "secret", "headers": {"Authorization": "x"}})
    assert told["status"] == status
    assert told["headers"]["location"] == location
    assert len(_Handler.seen) == 1


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


@pytest.mark.parametrize(
    "init",
    [
        {"headers": {"Host": "evil.com"}}, {"headers": {"Content-Length": "3"}}, {"headers": {"X-A": "b\r\nX-C: d"}},
        {"headers": {"Transfer-Encoding": "chunked"}}, {"headers": {"Proxy-Authorization": "x"}},
        {"headers": {"X-Forwarded-For": "1.2.3.4"}}, {"headers": {"Connection": "close"}}, {"headers": {"a b": "c"}},
        {"headers": {"": "c"}}, {"headers": {"X": 1}}, {"headers": ["X"]}, {"method": "GET / HTTP/1.1\r\nX: y"},
        {"method": "CONNECT"}, {"method": "TRACE"}, {"method": 1}, {"body": 3}, {"follow": True},
        {"headers": {"X": "\u0100"}}, {"headers": {"Expect": "100-continue"}}, {"bodyBase64": "%"},
    ],
)  # fmt: skip
def test_e12_headers_and_methods_are_checked(server: Any, init: Any) -> None:
    """E12: line breaks, framing and forwarding headers and odd methods are refused before anything is sent."""
    with pytest.raises(HostFault) as caught:
        fetch(server, "/a", init)
    assert caught.value.code == "invalid_argument"
    assert _Handler.seen == []


def _raw(server: Any, *pieces: bytes, pause: float = 0.0) -> Answer:
    def answer(handler: _Handler) -> None:
        try:
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass

    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"


def test_e13_slow_answers_end_at_the_total_time(server: Any) -> None:
    """E13: a byte every 50 ms, in headers or body, ends at the time-out, not at the last byte."""
    _Handler.answers["/head"] = _raw(server, HEAD, *([b"X: y\r\n"] * 40), pause=0.05)
    _Handler.answers["/body"] = _raw(server, HEAD + b"Content-Length: 40\r\n\r\n", *([b"x"] * 40), pause=0.05)
    for path in ("/head", "/body"):
        started = time.monotonic()
        with pytest.raises(HostFault) as caught:
            fetch(server, path, {"timeoutMs": 200})
        assert caught.value.code == "timeout"
        assert time.monotonic() - started < 0.6


def test_e13_large_answers_end_at_the_cap(server: Any) -> None:
    """E13: too many body bytes, chunks, headers or header bytes are refused."""
    _Handler.answers["/body"] = lambda h: h.plain(b"x" * 2000)
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    _Handler.answers["/chunks"] = _raw(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *([chunk] * 200))
    _Handler.answers["/head"] = _raw(server, HEAD, *([b"X: " + b"y" * 60_000 + b"\r\n"] * 20))
    _Handler.answers["/lines"] = _raw(server, HEAD, b"X: y\r\n" * 300, b"\r\n")
    _Handler.answers["/continue"] = _raw(server, *([b"HTTP/1.1 100 Continue\r\n\r\n" * 100] * 100))
    grant = grants(f"http://{server.origin}", bytes=1000, callsPerInvocation=50)
    for path in ("/body", "/chunks", "/head", "/lines", "/continue"):
        with pytest.raises(HostFault) as caught:
            fetch(server, path, grant=grant)
        assert caught.value.code in ("response_too_large", "bad_response"), path


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_e13_bombs_end_at_the_cap(server: Any, encoding: str) -> None:
    """E13: a compressed answer is decoded up to the cap and no further; a small one is decoded."""
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    _Handler.answers["/bomb"] = lambda h: h.plain(pack(b"\0" * 30_000_000), Content_Encoding=encoding)
    _Handler.answers["/good"] = lambda h: h.plain(pack(b"hello"), Content_Encoding=encoding)
    _Handler.answers["/bad"] = lambda h: h.plain(b"no such thing", Content_Encoding=encoding)
    _Handler.answers["/br"] = lambda h: h.plain(b"x", Content_Encoding="br")
    for path, code in (("/bomb", "response_too_large"), ("/bad", "bad_response"), ("/br", "bad_response")):
        with pytest.raises(HostFault) as caught:
            fetch(server, path)
        assert caught.value.code == code
    assert fetch(server, "/good")["text"] == "hello"


def test_e14_a_hanging_look_up_ends_at_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """E14: a resolver that does not answer costs the call its time-out and no more."""
    release = threading.Event()

    def hang(*args: Any, **kwargs: Any) -> list[Any]:
        release.wait(5)
        return []

    monkeypatch.setattr(egress.socket, "getaddrinfo", hang)
    started = time.monotonic()
    session = make(grants("api.example.com"), seconds=0.2)
    assert code_of(session, "http", "fetch", "https://api.example.com/") == "timeout"
    assert time.monotonic() - started < 0.5
    release.set()


def test_e15_requests_are_counted_by_call_and_hour(server: Any) -> None:
    """E15: requests end at the quantity of a call, and across calls at that of the hour."""
    _Handler.answers["/a"] = lambda h: h.plain(b"x")
    backend = MemoryBackend()
    grant = grants(f"http://{server.origin}", callsPerInvocation=2, callsPerHour=3)
    url = f"http://{server.origin}/a"
    first = make(grant, backend=backend)
    assert [code_of(first, "http", "fetch", url) for _ in range(3)] == ["", "", "calls_exceeded"]
    first.discard()
    second = make(grant, backend=backend)
    assert [code_of(second, "http", "fetch", url) for _ in range(2)] == ["", "quota_exceeded"]
    assert len(_Handler.seen) == 3


def test_e17_proxy_variables_are_ignored(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """E17: HTTP_PROXY and its kin change nothing."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    _Handler.answers["/a"] = lambda h: h.plain(b"x")
    assert fetch(server, "/a")["text"] == "x"


@pytest.fixture
def untrusted(tmp_path: Path, settings: Any) -> Iterator[str]:
    """``host:port`` of a server whose certificate nobody trusts, which takes one connection."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    origin = f"localhost:{listener.getsockname()[1]}"
    settings.SANDBOX_LOOPBACK_HOSTS = (origin,)
    yield origin
    thread.join()
    listener.close()


def test_e18_certificates_are_checked(untrusted: str) -> None:
    """E18: a self-signed certificate fails the request."""
    assert code_of(make(grants(untrusted)), "http", "fetch", f"https://{untrusted}/") == "tls_failed"


def test_e19_nothing_is_remembered_between_requests(server: Any) -> None:
    """E19: a cookie that one answer sets is not sent with the next request."""
    _Handler.answers["/a"] = lambda h: h.plain(b"x", Set_Cookie="session=1")
    session = make(grants(f"http://{server.origin}"))
    for _ in range(2):
        ask(session, "http", "fetch", f"http://{server.origin}/a")
    assert all("cookie" not in headers for _, _, headers, _ in _Handler.seen)


SECRET = "s3cret-value-0123"


def _with_secret(server: Any, **binding: Any) -> tuple[dict[str, Any], MemoryBackend]:
    backend = MemoryBackend()
    backend.rest.secrets["one", "key"] = SECRET
    bound = {"host": f"http://{server.origin}", "path": "/v1", "prefix": "Bearer ", **binding}
    granted = grants(f"http://{server.origin}", callsPerInvocation=50)
    return {**granted, "secrets": {"reason": "t", "names": {"key": bound}}}, backend


def test_d05_secrets_go_to_their_host_only(server: Any) -> None:
    """D05: a secret is put into a request to its bound host and path, and refused everywhere else."""
    _Handler.answers["/v1/a"] = lambda h: h.plain(b"fine")
    grant, backend = _with_secret(server)
    session = make(grant, backend=backend)
    base = f"http://{server.origin}"
    told = ask(session, "http", "fetch", f"{base}/v1/a", {"secret": "key", "headers": {"authorization": "mine"}})
    assert told["text"] == "fine"
    assert _Handler.seen[0][2]["authorization"] == f"Bearer {SECRET}"
    for path in ("/v2", "/v1x", "/", "/v1/../v2", "/v1/%2e%2e/v2", "/v1//x"):
        assert code_of(session, "http", "fetch", base + path, {"secret": "key"}) == "secret_refused"
    assert code_of(session, "http", "fetch", f"{base}/v1/a", {"secret": "other"}) == "secret_refused"
    other, _ = _with_secret(server, host="api.example.com")
    assert code_of(make(other, backend=backend), "http", "fetch", f"{base}/v1/a", {"secret": "key"}) == "secret_refused"
    assert len(_Handler.seen) == 1


def test_d06_an_echo_does_not_hand_out_the_secret(server: Any) -> None:
    """D06: a server that echoes what it got gives the guest a blank, and so do transcript and log."""

    def echo(handler: _Handler) -> None:
        got = handler.headers["Authorization"]
        encoded = base64.b64encode(f"user:{got}".encode()).decode()
        handler.plain(f"you sent {got}".encode(), X_Echo=got, X_Hex=got.encode().hex(), X_Base64=encoded)

    _Handler.answers["/v1"] = echo
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
    assert _Handler.seen == []


def test_secrets_are_encrypted_at_rest(db: None) -> None:
    """The database holds no readable secret, and the right key reads it back."""
    from sandbox.capabilities.backends.database import DatabaseBackend
    from sandbox.capabilities.secrets import seal
    from sandbox.models import PluginSecret

    PluginSecret.objects.create(plugin="one", name="key", sealed=seal(SECRET))
    assert SECRET not in PluginSecret.objects.get().sealed
    assert DatabaseBackend().secret("one", "key") == SECRET
