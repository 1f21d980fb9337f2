"""The other products, installed apart from ours, and how to run a program of theirs.

Python peers live in ``build/bench-venv``, Node peers in ``build/bench-npm``, built guests in ``build/bench-guests``.
Each is made once and made again when what pins it changes. A peer that cannot be had raises ``Missing``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.harness import BUILD, ROOT, Row, progress, rows_of

HERE = Path(__file__).resolve().parent
PYTHON_HOME = BUILD / "bench-venv"
NODE_HOME = BUILD / "bench-npm"
GUESTS_HOME = BUILD / "bench-guests"
GUESTS = HERE.parent / "guests"


class Missing(Exception):
    """This peer cannot be run here; the text says why."""


def python() -> Path:
    """The interpreter of the Python peers."""
    pins = HERE.parent / "requirements.txt"
    program = PYTHON_HOME / "bin" / "python"
    if _stale(PYTHON_HOME, pins) or not program.exists():
        progress("installing the Python peers (once)")
        _run([sys.executable, "-m", "venv", str(PYTHON_HOME)])
        _run([str(program), "-m", "pip", "install", "--quiet", "-r", str(pins)])
        _remember(PYTHON_HOME, pins)
    return program


def node_modules() -> Path:
    """The folder with the npm peers."""
    pins = HERE.parent / "package.json"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Missing("Node is not installed")
    if _stale(NODE_HOME, pins):
        progress("installing the npm peers (once)")
        NODE_HOME.mkdir(parents=True, exist_ok=True)
        shutil.copy(pins, NODE_HOME / "package.json")
        _run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], NODE_HOME)
        _remember(NODE_HOME, pins)
    return NODE_HOME / "node_modules"


def node_program(name: str) -> Path:
    """A copy of ``peers/NAME`` beside the npm packages, where its imports are found."""
    node_modules()
    target = NODE_HOME / name
    shutil.copy(HERE / name, target)
    return target


def workerd() -> Path:
    """The workerd binary itself; its npm wrapper would be a second process."""
    found = sorted(node_modules().glob("@cloudflare/workerd-*/bin/workerd"))
    if not found:
        raise Missing("npm has no workerd for this machine")
    return found[0]


def guest(name: str) -> Path:
    """The wasm built from ``guests/NAME``: ``.c`` by zig, ``.ts`` by the AssemblyScript compiler, ``.wat`` as text."""
    source = GUESTS / name
    texts = [source, *sorted(GUESTS.glob("*.h")), HERE.parent / "requirements.txt", HERE.parent / "package.json"]
    digest = hashlib.sha256(b"".join(text.read_bytes() for text in texts)).hexdigest()[:16]
    target = GUESTS_HOME / f"{source.stem}-{source.suffix[1:]}-{digest}.wasm"
    if target.exists():
        return target
    GUESTS_HOME.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".c":
        flags = [
            "-target",
            "wasm32-freestanding",
            "-O2",
            "-nostdlib",
            "-Wl,--no-entry",
            "-Wl,-z,stack-size=65536",
            "-s",
        ]
        _run([str(python()), "-m", "ziglang", "cc", *flags, str(source), "-o", str(target)])
    elif source.suffix == ".ts":
        compiler = node_modules() / "assemblyscript" / "bin" / "asc.js"
        flags = ["--runtime", "minimal", "-O3", "--use", "abort="]
        _run(["node", str(compiler), str(source), *flags, "--outFile", str(target)])
    else:
        import wasmtime

        target.write_bytes(wasmtime.wat2wasm(source.read_text()))
    return target


def measure(module: str, *arguments: str, seconds: float = 300, **variables: str) -> list[Row]:
    """Run ``python -m tests.benchmarks.peers.MODULE`` in the peers' environment; the rows it printed."""
    return _measure([str(python()), "-m", f"tests.benchmarks.peers.{module}", *arguments], seconds, variables)


def measure_node(name: str, *arguments: str, seconds: float = 300) -> list[Row]:
    """Run ``peers/NAME`` in Node; the rows it printed."""
    return _measure(["node", str(node_program(name)), *arguments], seconds, {})


def _measure(command: list[str], seconds: float, variables: dict[str, str]) -> list[Row]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise Missing(f"did not end within {seconds:.0f} s") from error
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["no message"])[-1][:160])
    return rows_of(done.stdout)


def _run(command: list[str], folder: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()[-200:]}")


def _stale(home: Path, pins: Path) -> bool:
    mark = home / ".pins"
    return not mark.exists() or mark.read_text() != hashlib.sha256(pins.read_bytes()).hexdigest()


def _remember(home: Path, pins: Path) -> None:
    (home / ".pins").write_text(hashlib.sha256(pins.read_bytes()).hexdigest())
