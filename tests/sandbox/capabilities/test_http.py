"""``http``, requests and answers: rows E07, E08, E12 to E15 and E17 to E19 of the hostile matrix, on real sockets.

Which names and addresses may be reached is in test_http_hosts.py, secrets in test_http_secrets.py.
"""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from typing import Any

import pytest

from sandbox.capabilities import egress
from sandbox.capabilities.backends.memory import MemoryBackend
from tests.sandbox.capabilities.harness import HostFault, ask, code_of, make
from tests.sandbox.capabilities.web import HEAD, Handler, fetch, grants, raw, resolver, server, untrusted

__all__ = ["server", "untrusted"]


def test_a_request_goes_out_and_its_answer_comes_back(server: Any) -> None:
    """Method, headers and body arrive as given; status, headers and text come back."""
    Handler.answers["/a"] = lambda h: h.plain("größe".encode(), Content_Type="text/plain", X_Two="2")
    init = {"method": "post", "headers": {"X-One": "1"}, "body": "hällo"}
    told = fetch(server, "/a?q=1", init)
    assert (told["status"], told["ok"], told["text"]) == (200, True, "größe")
    assert told["headers"]["x-two"] == "2"
    method, path, headers, body = Handler.seen[0]
    assert (method, path, body.decode()) == ("POST", "/a?q=1", "hällo")
    assert headers["x-one"] == "1"
    assert headers["host"] == server.origin


def test_bytes_that_are_no_text_come_as_base64(server: Any) -> None:
    """A body that is not UTF-8 is given as base64."""
    Handler.answers["/a"] = lambda h: h.plain(b"\xff\x00")
    assert fetch(server, "/a")["base64"] == "/wA="


@pytest.mark.parametrize("location", ["http://127.0.0.1/", "https://evil.example/", "file:///etc/passwd", "", "/b"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_e07_e08_redirects_are_not_followed(server: Any, location: str, status: int) -> None:
    """E07, E08: a redirect comes back as it is; nothing is sent on, least of all a body or a header."""
    Handler.answers["/a"] = lambda h: h.plain(b"", status=status, Location=location)
    told = fetch(server, "/a", {"method": "POST", "body": "secret", "headers": {"Authorization": "x"}})
    assert told["status"] == status
    assert told["headers"]["location"] == location
    assert len(Handler.seen) == 1


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
    assert Handler.seen == []


def test_e13_slow_answers_end_at_the_total_time(server: Any) -> None:
    """E13: a byte every 50 ms, in headers or body, ends at the time-out, not at the last byte."""
    Handler.answers["/head"] = raw(server, HEAD, *([b"X: y\r\n"] * 40), pause=0.05)
    Handler.answers["/body"] = raw(server, HEAD + b"Content-Length: 40\r\n\r\n", *([b"x"] * 40), pause=0.05)
    for path in ("/head", "/body"):
        started = time.monotonic()
        with pytest.raises(HostFault) as caught:
            fetch(server, path, {"timeoutMs": 200})
        assert caught.value.code == "timeout"
        assert time.monotonic() - started < 0.6


def test_e13_large_answers_end_at_the_cap(server: Any) -> None:
    """E13: too many body bytes, chunks, headers or header bytes are refused."""
    Handler.answers["/body"] = lambda h: h.plain(b"x" * 2000)
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    Handler.answers["/chunks"] = raw(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *([chunk] * 200))
    Handler.answers["/head"] = raw(server, HEAD, *([b"X: " + b"y" * 60_000 + b"\r\n"] * 20))
    Handler.answers["/lines"] = raw(server, HEAD, b"X: y\r\n" * 300, b"\r\n")
    Handler.answers["/continue"] = raw(server, *([b"HTTP/1.1 100 Continue\r\n\r\n" * 100] * 100))
    grant = grants(f"http://{server.origin}", bytes=1000, callsPerInvocation=50)
    for path in ("/body", "/chunks", "/head", "/lines", "/continue"):
        with pytest.raises(HostFault) as caught:
            fetch(server, path, grant=grant)
        assert caught.value.code in ("response_too_large", "bad_response"), path


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_e13_bombs_end_at_the_cap(server: Any, encoding: str) -> None:
    """E13: a compressed answer is decoded up to the cap and no further; a small one is decoded."""
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    Handler.answers["/bomb"] = lambda h: h.plain(pack(b"\0" * 30_000_000), Content_Encoding=encoding)
    Handler.answers["/good"] = lambda h: h.plain(pack(b"hello"), Content_Encoding=encoding)
    Handler.answers["/bad"] = lambda h: h.plain(b"no such thing", Content_Encoding=encoding)
    Handler.answers["/br"] = lambda h: h.plain(b"x", Content_Encoding="br")
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


def test_a_look_up_that_cannot_begin_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be had for a look-up, the request fails, and the next one finds every place free."""

    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver(monkeypatch, ["10.0.0.1"])
    url = "https://api.example.com/"
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        for _ in range(40):
            assert code_of(make(grants("api.example.com")), "http", "fetch", url) == "resolve_failed"
    assert code_of(make(grants("api.example.com")), "http", "fetch", url) == "address_refused"


def test_e15_requests_are_counted_by_call_and_hour(server: Any) -> None:
    """E15: requests end at the quantity of a call, and across calls at that of the hour."""
    Handler.answers["/a"] = lambda h: h.plain(b"x")
    backend = MemoryBackend()
    grant = grants(f"http://{server.origin}", callsPerInvocation=2, callsPerHour=3)
    url = f"http://{server.origin}/a"
    first = make(grant, backend=backend)
    assert [code_of(first, "http", "fetch", url) for _ in range(3)] == ["", "", "calls_exceeded"]
    first.discard()
    second = make(grant, backend=backend)
    assert [code_of(second, "http", "fetch", url) for _ in range(2)] == ["", "quota_exceeded"]
    assert len(Handler.seen) == 3


def test_e17_proxy_variables_are_ignored(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """E17: HTTP_PROXY and its kin change nothing."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    Handler.answers["/a"] = lambda h: h.plain(b"x")
    assert fetch(server, "/a")["text"] == "x"


def test_e18_certificates_are_checked(untrusted: str) -> None:
    """E18: a self-signed certificate fails the request."""
    assert code_of(make(grants(untrusted)), "http", "fetch", f"https://{untrusted}/") == "tls_failed"


def test_e19_nothing_is_remembered_between_requests(server: Any) -> None:
    """E19: a cookie that one answer sets is not sent with the next request."""
    Handler.answers["/a"] = lambda h: h.plain(b"x", Set_Cookie="session=1")
    session = make(grants(f"http://{server.origin}"))
    for _ in range(2):
        ask(session, "http", "fetch", f"http://{server.origin}/a")
    assert all("cookie" not in headers for _, _, headers, _ in Handler.seen)


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 100\r\n\r\nhello",
        b"Content-Length: 100\r\n\r\n",
        b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello " * 100)[:-12],
        b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello ") + gzip.compress(b"world")[:-9],
        b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"hello " * 100)[:-5],
    ],
    ids=["cut", "none of it", "gzip cut", "second member cut", "deflate cut"],
)
def test_an_answer_that_was_cut_off_is_none(server: Any, answer: bytes) -> None:
    """A part of an answer is never told as if it were the whole, whatever it was packed in."""
    Handler.answers["/cut"] = raw(server, HEAD, answer)
    with pytest.raises(HostFault, match="bad_response"):
        fetch(server, "/cut")


def test_every_member_of_a_packed_answer_is_read(server: Any) -> None:
    """A gzip body may have several members; what follows the last one is ignored, as browsers do."""
    members = gzip.compress(b"hello ") + gzip.compress(b"wor") + gzip.compress(b"ld")
    for end in (b"", b"\0" * 8):
        Handler.answers["/members"] = raw(server, HEAD, b"Content-Encoding: gzip\r\n\r\n", members + end)
        assert fetch(server, "/members")["text"] == "hello world"
    Handler.answers["/nothing"] = raw(server, HEAD, b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n")
    assert fetch(server, "/nothing")["text"] == ""


def test_members_together_end_at_the_cap(server: Any) -> None:
    """The cap on decoded bytes holds for all members together, and members without end are refused."""
    grant = grants(f"http://{server.origin}", bytes=10_000)
    Handler.answers["/much"] = raw(server, HEAD, b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"x" * 6000) * 2)
    with pytest.raises(HostFault, match="response_too_large"):
        fetch(server, "/much", grant=grant)
    Handler.answers["/many"] = raw(server, HEAD, b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 400)
    with pytest.raises(HostFault, match="bad_response"):
        fetch(server, "/many", grant=grant)
