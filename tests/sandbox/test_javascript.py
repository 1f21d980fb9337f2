# ruff: noqa: E501  lines of JavaScript
"""What a plugin in JavaScript finds around itself, and what it is told about what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import compiler
from sandbox.capabilities import registry
from sandbox.errors import InvalidModule, LoadFailed
from sandbox.outcome import OutcomeStatus as S
from tests.sandbox.guests import ROOT, call, javascript

WORKS: dict[str, tuple[str, Any]] = {
    "promises": ("async () => (await Promise.all([1, Promise.resolve(2)])).join()", "1,2"),
    "generators": ("() => [...(function* () { yield 1; yield* [2, 3]; })()]", [1, 2, 3]),
    "async generators": (
        "async () => { let s = 0; for await (const n of (async function* () { yield 1; yield 2; })()) s += n; return s; }",
        3,
    ),
    "unicode": (r"() => 'καλημέρα κόσμε 1'.match(/[\p{L}]+/gu).length", 2),
    "lookbehind": (r"() => '$12'.match(/(?<=\$)\d+/)[0]", "12"),
    "typed arrays": ("() => new Uint16Array(new Uint8Array([1, 2, 3, 4]).buffer)[1]", 0x403),
    "bigint": ("() => String(2n ** 100n)", "1267650600228229401496703205376"),
    "private fields": ("() => new (class { #x = 1; get x() { return this.#x; } })().x", 1),
    "destructuring": ("({ a: { b = 2 } = {}, ...rest }) => [b, rest]", [2, {"c": 3}]),
    "error cause": ("() => { try { throw new Error('a', { cause: 'b' }); } catch (e) { return e.cause; } }", "b"),
    "undefined is null": ("() => undefined", None),
    "structuredClone": (
        """() => { const a = { d: new Date(0), m: new Map([[1, { x: 1 }]]), s: new Set([1]) }; a.self = a;
          const b = structuredClone(a); return [b !== a, b.self === b, b.d.getTime(), b.m.get(1).x, b.s.has(1)]; }""",
        [True, True, 0, 1, True],
    ),
    "structuredClone refuses": ("() => { try { structuredClone(() => 1); } catch (e) { return e.name; } }", "DataCloneError"),
    "TextEncoder": ("() => [...new TextEncoder().encode('é€😀\\ud800')]",
                    [195, 169, 226, 130, 172, 240, 159, 152, 128, 239, 191, 189]),
    "TextDecoder": ("() => new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 226, 130, 172, 0xff, 65]))", "€\ufffdA"),
    "TextDecoder fatal": (
        "() => { try { new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xc0, 0xaf])); } catch (e) { return e.name; } }",
        "TypeError",
    ),
    "base64": ("(e, ctx) => ctx.bytes.toBase64(ctx.bytes.fromBase64(btoa('hello')))", "aGVsbG8="),
    "digest": ("async (e, ctx) => (await ctx.crypto.digest('SHA-256', new Uint8Array([97, 98, 99]))).slice(0, 8)", "ba7816bf"),
    "random bytes": ("async (e, ctx) => (await ctx.crypto.randomBytes(16)).length", 16),
    "settings": ("(e, ctx) => [ctx.settings.colour, ctx.plugin.name, ctx.call.hook]", ["red", "guest", "go"]),
    "queueMicrotask": ("() => new Promise((done) => queueMicrotask(() => done(1)))", 1),
}  # fmt: skip


@pytest.mark.parametrize("what", WORKS)
def test_works(what: str) -> None:
    """The language and the polyfills do what their names say."""
    source, expected = WORKS[what]
    outcome = call(javascript(source), event={"c": 3}, settings={"colour": "red"})
    assert outcome.ok, outcome
    assert outcome.result == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("() => new Intl.DateTimeFormat('en')", "no Intl"),
        ("() => setTimeout(() => 1, 10)", "ctx.schedule"),
        ("async () => fetch('https://example.com')", "ctx.http.fetch"),
        ("() => crypto.randomUUID()", "ctx.crypto"),
        ("() => require('fs')", "bundle"),
        ("() => process.exit()", "Node"),
        ("() => document.title", "browser"),
        ("async () => import('./other.js')", "bundle"),
        ("() => new URL('nonsense')", "Invalid URL"),
        ("() => new TextDecoder('latin1')", "utf-8 only"),
    ],
)
def test_what_is_missing_says_so(source: str, message: str) -> None:
    """What a plugin does not have is told with what to use instead."""
    outcome = call(javascript(source))
    assert outcome.status is S.TRAP
    assert outcome.error is not None
    assert message in outcome.error.message, outcome.error


@pytest.mark.parametrize(
    ("given", "base", "href"),
    [
        ("https://User:pä@Example.COM:443/a/../b c?q=ü#f g", None, "https://User:p%C3%A4@example.com/b%20c?q=%C3%BC#f%20g"),
        ("http://0x7f.1:8080", None, "http://127.0.0.1:8080/"),
        ("http://2130706433/", None, "http://127.0.0.1/"),
        ("http://[::1]:80/x", None, "http://[::1]/x"),
        ("../c?x=1", "https://a.test/b/d/e", "https://a.test/b/c?x=1"),
        ("//b.test/x", "https://a.test/", "https://b.test/x"),
        ("?y", "https://a.test/p?x#z", "https://a.test/p?y"),
        ("#only", "https://a.test/p?x", "https://a.test/p?x#only"),
        ("https:\\\\a.test\\b", None, "https://a.test/b"),
        ("mailto:a@b.test", None, "mailto:a@b.test"),
        ("data:text/plain,hi", None, "data:text/plain,hi"),
        ("file:///a/./b", None, "file:///a/b"),
    ],
)  # fmt: skip
def test_urls(given: str, base: str | None, href: str) -> None:
    """Addresses are read as the URL standard says."""
    artifact = javascript("({ given, base }) => new URL(given, base ?? undefined).href")
    assert call(artifact, event={"given": given, "base": base}).result == href


@pytest.mark.parametrize(
    "given", ["http://", "https://a b/", "http://a:99999/", "http://256.0.0.1/", "/x", "http://[::1", "http://ü.test/"]
)
def test_bad_urls(given: str) -> None:
    """What is no address is refused, an international host name with a hint."""
    assert call(javascript("(e) => URL.canParse(e)"), event=given).result is False


def test_url_search_params() -> None:
    """Query parameters are read, changed and written back to their address."""
    source = """() => { const u = new URL('https://a.test/?a=1&b=2+3&a=%C3%A4');
      const before = u.searchParams.getAll('a'); u.searchParams.append('c', 'x y&z'); u.searchParams.delete('b');
      u.searchParams.set('a', '9');
      return [before, u.href, new URLSearchParams({ q: 'ü' }).toString(), [...new URLSearchParams('a=1&b')], u.searchParams.size]; }"""
    assert call(javascript(source)).result == [
        ["1", "ä"], "https://a.test/?a=9&c=x+y%26z", "q=%C3%BC", [["a", "1"], ["b", ""]], 2,
    ]  # fmt: skip


def test_console_and_log() -> None:
    """``console`` and ``ctx.log`` write lines with levels; objects are shown as JSON, errors with their stack."""
    source = """async (e, ctx) => { console.log('a', { b: 1 }, 2n); console.error(new TypeError('bad'));
      console.debug(undefined, Symbol('s')); await ctx.log.warn('w'); }"""
    logs = call(javascript(source)).logs
    assert [line.level for line in logs] == ["info", "error", "debug", "warn"]
    assert logs[0].message == 'a {"b":1} 2n'
    assert logs[1].message.startswith("TypeError: bad")


def test_errors_carry_name_message_code_and_stack() -> None:
    """An error of a handler is told whole, with the plugin's own line."""
    outcome = call(javascript("() => { throw Object.assign(new RangeError('far'), { code: 'too_far' }); }"))
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.message, outcome.error.code) == ("RangeError", "far", "too_far")
    assert "plugin.mjs:1" in outcome.error.stack


@pytest.mark.parametrize("source", ["() => ({ reject: { message: 'no' } })",
                                    "() => { throw Object.assign(new Error('no'), { code: 'rejected' }); }"])  # fmt: skip
def test_rejecting(source: str) -> None:
    """Returning ``reject`` or throwing with the code ``rejected`` is the plugin's no."""
    outcome = call(javascript(source))
    assert outcome.status is S.REJECTED
    assert outcome.error is not None
    assert outcome.error.message == "no"


def test_a_route_may_answer_with_reject() -> None:
    """A route's answer is data: a member called ``reject`` means nothing there."""
    source = b"export default { routes: { 'GET /r': () => ({ reject: { message: 'x' } }) } };"
    artifact = compiler.deploy(source, kind="javascript")
    assert artifact.routes == ("GET /r",)
    assert call(artifact, "route", {"method": "GET", "route": "/r"}).ok


def test_handlers_are_found() -> None:
    """Hooks, routes, schedules and workflows reach their handlers; a missing one is an error, a missing lifecycle is not."""
    source = b"""export default { hooks: { h: { handler() { return 'h'; } } }, routes: { '/any': () => 'any' },
      schedules: { nightly: () => 'n' }, workflows: { w: () => 'w' } };"""
    artifact = compiler.deploy(source, kind="javascript")
    assert call(artifact, "h").result == "h"
    assert call(artifact, "route", {"method": "POST", "route": "/any"}).result == "any"
    assert call(artifact, "cron", {"schedule": "nightly"}).result == "n"
    assert call(artifact, "workflow", {"workflow": "w"}).result == "w"
    assert call(artifact, "plugin:activate").ok
    missing = call(artifact, "nothing")
    assert missing.error is not None
    assert missing.error.code == "no_handler"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"export defalt 1", "SyntaxError"),
        (b"export const x = 1;", "default export"),
        (b"export default { hooks: { a: 1 } };", "not a function"),
        (b"throw new Error('at the top');", "at the top"),
        (b"import './other.js'; export default {};", "bundle"),
        (b"for (;;);", "did not finish"),
        (b"await new Promise(() => {});", "never settles"),
        (b"const a = []; for (;;) a.push(new Uint8Array(1 << 20)); export default {};", "memory"),
    ],
)
def test_modules_that_cannot_be_loaded(source: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that fails at its top level is refused at deployment with the reason, and this process lives."""
    monkeypatch.setattr(compiler, "LOAD_SECONDS", 0.3)
    with pytest.raises(LoadFailed, match=message):
        compiler.deploy(source, kind="javascript")


@pytest.mark.parametrize("source", [b"", b"  \n", b"\xff\xfe", b"export default {}; // \0"])
def test_sources_that_are_not_text(source: bytes) -> None:
    """An empty file, other encodings and NUL characters are refused before the engine sees them."""
    with pytest.raises(InvalidModule):
        compiler.deploy(source, kind="javascript")


def test_the_top_level_runs_once_and_alone() -> None:
    """Top-level await works, its result is kept; host calls there are refused, log lines go nowhere."""
    source = b"""const n = await Promise.resolve(41); console.log('hidden');
      let refused = ''; const ctxless = globalThis.ctx; export default { hooks: { go: () => [n + 1, typeof ctxless] } };"""
    outcome = call(compiler.deploy(source, kind="javascript"))
    assert outcome.result == [42, "undefined"]
    assert outcome.logs == ()


def test_every_capability_has_its_namespace() -> None:
    """``ctx`` offers exactly the registered capabilities' operations, by the names they have there."""
    source = """(e, ctx) => Object.fromEntries(Object.entries(Object.getPrototypeOf(ctx))
      .map(([name, members]) => [name, Object.keys(members)]))"""
    offered = call(javascript(source)).result
    # Where the guest's name differs from the capability's: content:read and content:write are both ctx.content.
    for capability in registry.all_capabilities():
        space = capability.name.split(":")[0]
        missing = set(capability.operations) - set(offered.get(space, []))
        assert not missing, f"ctx.{space} lacks {missing}"


def test_the_engine_is_the_one_that_was_built() -> None:
    """The kept engine has the digest that its build script wrote."""
    import hashlib

    home = ROOT / "sandbox" / "javascript"
    kept = (home / "engine.wasm.sha256").read_text(encoding="ascii").split()[0]
    assert hashlib.sha256((home / "engine.wasm").read_bytes()).hexdigest() == kept


@pytest.mark.peers
@pytest.mark.slow
def test_the_engine_builds_again_to_the_same_bytes() -> None:
    """Building from the pinned packages gives the kept engine, byte for byte."""
    import subprocess
    import sys

    subprocess.run([sys.executable, str(ROOT / "sandbox" / "javascript" / "build.py"), "--check"], check=True)


ODD = {
    "revoked proxy": "const p = Proxy.revocable({}, {}); p.revoke(); console.log('a', p.proxy);",
    "proxy that throws": "console.log('a', new Proxy({}, { getPrototypeOf() { throw new Error('x'); } }));",
    "stack that throws": "console.log('a', Object.defineProperty(new Error('e'), 'stack', { get() { throw 1; } }));",
    "text that throws": "console.log('a', Object.assign(() => 1, { toString() { throw 1; } }));",
    "tag that throws": "console.log('a', { toJSON() { throw 1; }, get [Symbol.toStringTag]() { throw 2; } });",
    "cyclic": "const a = {}; a.a = a; console.log('a', a);",
    "half a pair": r"console.log('a', 'b\u{1f600}'.slice(0, 2));",
    "halves in data": r"await ctx.log.info('a', { ['k\u{1f600}'.slice(0, 2)]: ['\ud83d', '\\ud83d', '\ude00x'] });",
    "half a message": r"await ctx.log.info('a\u{1f600}'.slice(0, 2));",
    "longer than a host call may be": "console.log('a' + 'x'.repeat(5e6));",
}


@pytest.mark.parametrize("what", ODD)
def test_a_log_line_never_ends_a_call(what: str) -> None:
    """Whatever is logged, the call goes on and the line is there."""
    source = "async (e, ctx) => { " + ODD[what] + " console.log('after'); return 1; }"
    outcome = call(javascript(source), limits={"memory_bytes": 64 << 20, "log_bytes": 8 << 20})
    assert (outcome.status, outcome.result) == (S.OK, 1), outcome.error
    assert [line.message[:1] for line in outcome.logs] == ["a", "a"]


def test_half_a_pair_in_a_log_is_shown_as_such() -> None:
    """Only the half that has no other one is replaced; an escaped backslash before such digits is none."""
    source = r"(e, ctx) => ctx.log.info('m', ['\ud83d', '\\ud83d', '\ude00x', '\u{1f600}'])"
    line = call(javascript(source)).logs[0].message
    assert line == 'm ["\ufffd","\\\\ud83d","\ufffdx","\U0001f600"]'


@pytest.mark.parametrize("cap", ["name", "message", "stack", "code"])
def test_texts_of_an_error_are_cut_between_characters(cap: str) -> None:
    """An error whose text is cut in the middle of a pair is still told, with its code."""
    long = "('a' + '\\u{1f600}'.repeat(9000))"
    source = f"() => {{ throw Object.assign(new Error('m'), {{ code: 'own' }}, {{ {cap}: {long} }}); }}"
    outcome = call(javascript(source))
    assert outcome.status is S.TRAP, outcome
    assert outcome.error is not None
    assert outcome.error.code == ("own" if cap != "code" else outcome.error.code)
    assert getattr(outcome.error, cap).startswith("a\U0001f600")
