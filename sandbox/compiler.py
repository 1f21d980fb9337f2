"""Deploy a plugin: inspect it, compile or evaluate it in a limited child process, keep the result.

Everything is found by content: the same source is the same artifact, and deploying it again does nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from sandbox import cache, engine, snapshot
from sandbox.artifact import Artifact, Kind
from sandbox.engine import Profile
from sandbox.errors import (
    ArtifactNotFound,
    CompileLimit,
    InvalidModule,
    LoadFailed,
    SandboxUnavailable,
)
from sandbox.inspect import check_declared, inspect

__all__ = ["Artifact", "deploy", "engine_code", "load", "plugin_code"]

_JAVASCRIPT = Path(__file__).resolve().parent / "javascript"
_CHILD = Path(__file__).resolve().parent / "compile_child.py"
#: Seconds of processor time of a child; the engine itself is larger than any plugin may be.
PLUGIN_SECONDS = 5
_ENGINE_SECONDS = 60
#: Seconds that the top level of a JavaScript plugin may take.
LOAD_SECONDS = 2.0
_PLAIN = Profile()

#: One child at a time: a compilation takes a whole core and half a gigabyte at worst.
_lock = threading.Lock()
_known: OrderedDict[str, Artifact] = OrderedDict()
_MOST_KNOWN = 2000


def deploy(source: bytes, *, kind: Kind, grants: Mapping[str, Any] | None = None) -> Artifact:
    """Make a plugin ready to be called on this host. ``grants``: what its manifest declares; ``None``: not checked.

    Raises:
        InvalidModule, ModuleTooLarge, AbiMismatch: the source is not a plugin's.
        CapabilityUndeclared: it imports what ``grants`` does not name.
        LoadFailed: its top-level code threw or did not end.
        CompileLimit: compiling it takes too much.
    """
    inspection = inspect(source, kind=kind)
    if grants is not None:
        check_declared(inspection, grants)
    known = _known.get(inspection.digest)
    if known is not None:
        return known
    artifact, _ = _compiled(source, inspection.digest, kind, _PLAIN)
    cache.keep_source(source, kind=kind)
    return _remember(artifact)


def load(digest: str) -> Artifact:
    """The deployed plugin with this digest.

    Raises:
        ArtifactNotFound: it was not deployed on this host.
    """
    known = _known.get(digest)
    if known is not None:
        return known
    source, kind = _source(digest)
    artifact, _ = _compiled(source, digest, kind, _PLAIN)
    return _remember(artifact)


def plugin_code(artifact: Artifact, profile: Profile) -> bytes:
    """The plugin's native code for one engine profile, compiled now when it is not kept.

    Raises:
        ArtifactNotFound: neither code nor source are kept any more.
    """
    kept = cache.read(_key(artifact.kind, artifact.digest, profile))
    if kept is not None:
        return kept[1]
    source, kind = _source(artifact.digest)
    return _compiled(source, artifact.digest, kind, profile)[1]


def engine_code(profile: Profile) -> bytes:
    """The JavaScript engine's native code, compiled once for a host and profile (about a second)."""
    name = cache.key("javascript-engine", engine_digest(), engine.fingerprint(profile))
    kept = cache.read(name)
    if kept is None:
        with _lock:
            kept = cache.read(name)
            if kept is None:
                request = {"job": "compile", "cpu_seconds": _ENGINE_SECONDS}
                header, parts = _child(request, profile, snapshot.engine_module(_built_engine()))
                if "error" in header:
                    raise SandboxUnavailable(f"The JavaScript engine cannot be compiled: {header['error']}")
                kept = {}, parts[0]
                cache.write(name, *kept)
    return kept[1]


@functools.cache
def engine_digest() -> str:
    """sha256 of the JavaScript engine; changes with its source, its compiler and its options."""
    return hashlib.sha256(_built_engine()).hexdigest()


def _built_engine() -> bytes:
    return (_JAVASCRIPT / "engine.wasm").read_bytes()


@functools.cache
def _bootstrap() -> bytes:
    return (_JAVASCRIPT / "bootstrap.js").read_bytes()


def _key(kind: Kind, digest: str, profile: Profile) -> str:
    guest = [engine_digest(), hashlib.sha256(_bootstrap()).hexdigest()] if kind == "javascript" else []
    return cache.key("plugin", kind, digest, engine.fingerprint(profile), *guest)


def _remember(artifact: Artifact) -> Artifact:
    _known[artifact.digest] = artifact
    while len(_known) > _MOST_KNOWN:
        _known.popitem(last=False)
    return artifact


def _source(digest: str) -> tuple[bytes, Kind]:
    for kind in get_args(Kind):
        source = cache.source(digest, kind=kind)
        if source is not None:
            return source, kind
    raise ArtifactNotFound(f"No plugin with the digest {digest[:12]}… is deployed here.")


def _compiled(source: bytes, digest: str, kind: Kind, profile: Profile) -> tuple[Artifact, bytes]:
    name = _key(kind, digest, profile)
    kept = cache.read(name)
    if kept is None:
        over = engine_code(profile) if kind == "javascript" else b""
        with _lock:
            kept = cache.read(name)
            if kept is None:
                kept = _make(source, kind, profile, over)
                cache.write(name, *kept)
    header, code = kept
    found = header.get("found")
    artifact = Artifact(
        digest=digest,
        kind=kind,
        hooks=tuple(found["hooks"]) if found else None,
        routes=tuple(found["routes"]) if found else None,
        memory_bytes=header.get("memory_bytes", 0),
    )
    return artifact, code


def _make(source: bytes, kind: Kind, profile: Profile, over: bytes) -> tuple[dict[str, Any], bytes]:
    if kind == "wasm":
        pages = inspect(source, kind=kind).memory_pages
        header, parts = _child({"job": "compile", "cpu_seconds": PLUGIN_SECONDS}, profile, source)
        if "error" in header:
            raise InvalidModule(f"The module is not valid: {_first_line(header['error'])}")
        return {"memory_bytes": pages * 65536}, parts[0]
    request = {
        "job": "snapshot",
        "cpu_seconds": PLUGIN_SECONDS,
        "seconds": LOAD_SECONDS,
        "memory_bytes": engine.MAX_MEMORY_BYTES,
    }
    blank = snapshot.blank_image(_built_engine())
    header, parts = _child(request, profile, over, blank, _bootstrap(), source)
    if "error" in header:
        told = header["error"]
        message = f"{told.get('name', 'Error')}: {told.get('message', '')}"
        if header.get("stage") == "boot":
            raise SandboxUnavailable(f"The JavaScript engine does not start: {message}")
        raise LoadFailed(f"The plugin cannot be loaded: {message}", stack=told.get("stack", ""))
    return {"found": header["found"], "memory_bytes": header["memory_bytes"]}, parts[0]


def _child(request: dict[str, Any], profile: Profile, *parts: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Run one job in a child process.

    Raises:
        CompileLimit: the child was stopped by its limits.
    """
    header = json.dumps({**request, "profile": asdict(profile)}).encode()
    frames = b"".join(len(part).to_bytes(4) + part for part in (header, *parts))
    try:
        ended = subprocess.run(  # noqa: S603  our own interpreter on our own script
            [sys.executable, "-I", str(_CHILD)],
            input=frames,
            capture_output=True,
            env={},
            timeout=request["cpu_seconds"] * 4,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CompileLimit("Compiling the module took longer than it may.") from None
    if ended.returncode == -signal.SIGXCPU:
        raise CompileLimit("Compiling the module took more processor time than it may.")
    if ended.returncode != 0:
        # Whatever ends the compiler is told as a limit: memory first of all, which ends it in several ways.
        text = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CompileLimit(
            "Compiling the module took more memory than it may, or broke the compiler.",
            exit=ended.returncode,
            reason=text[-1][:300] if text else "",
        )
    found = []
    at = 0
    while at < len(ended.stdout):
        length = int.from_bytes(ended.stdout[at : at + 4])
        found.append(ended.stdout[at + 4 : at + 4 + length])
        at += 4 + length
    return json.loads(found[0]), found[1:]


def _first_line(text: str) -> str:
    """The engine's reason without its context lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "unknown"


def forget() -> None:
    """Forget what this process remembers, and give it locks of its own; for a forked child and for tests."""
    global _lock
    _lock = threading.Lock()
    _known.clear()
