"""Build plugins that are compiled: ``python examples/plugins/build.py [--check] [DIRECTORY …]``.

A directory whose name ends in ``-c``, ``-assemblyscript`` or ``-rust`` holds ``plugin.c``, ``plugin.ts`` or
``plugin.rs``. Without arguments: the examples here and the guests of the tests.

Each ``plugin.wasm`` is kept beside its source with its digest, so that nobody needs a toolchain to try it. The
toolchains come from registries, into a throwaway directory: ``ziglang`` from PyPI for C, ``assemblyscript`` from npm.
Rust uses the ``rustc`` at hand (``RUSTC``; it needs the target ``wasm32-unknown-unknown``: on Debian the packages
``rustc``, ``libstd-rust-dev-wasm32`` and ``lld-14``).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent


def build_c(source: Path, out: Path, work: Path) -> None:
    """C by ``zig cc``."""
    venv.create(work / "environment", with_pip=True)
    python = work / "environment" / "bin" / "python"
    _run(python, "-m", "pip", "-q", "install", "ziglang==0.17.0")
    _run(python, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-Os", "-nostdlib", "-fno-sanitize=undefined",
         "-fno-builtin", "-Wl,--no-entry", "-Wl,-z,stack-size=16384", "-s", source / "plugin.c", "-o", out)  # fmt: skip


def build_assemblyscript(source: Path, out: Path, work: Path) -> None:
    """AssemblyScript by its own compiler."""
    _run("npm", "install", "--silent", "--no-audit", "--no-fund", "assemblyscript@0.28.20", cwd=work)
    # The stub runtime never frees: the store is dropped after the call. Traps need no message from the host.
    _run(work / "node_modules" / ".bin" / "asc", source / "plugin.ts", "--runtime", "stub", "-O3", "--noAssert",
         "--use", "abort=", "--outFile", out, cwd=work)  # fmt: skip


def build_rust(source: Path, out: Path, work: Path) -> None:
    """Rust by ``rustc``, in the source's directory: messages of panics name the file as it is given."""
    rustc = os.environ.get("RUSTC", "/usr/bin/rustc")
    linker = os.environ.get("WASM_LD", "wasm-ld-14")
    _run(rustc, "--target", "wasm32-unknown-unknown", "--crate-type", "cdylib", "--edition", "2021",
         "-C", "opt-level=s", "-C", "panic=abort", "-C", "lto=fat", "-C", "strip=symbols", "-C", f"linker={linker}",
         "plugin.rs", "-o", out, cwd=source)  # fmt: skip


BUILDERS: dict[str, Callable[[Path, Path, Path], None]] = {
    "c": build_c,
    "assemblyscript": build_assemblyscript,
    "rust": build_rust,
}


def _all() -> list[Path]:
    homes = (HERE, HERE.parent.parent / "tests" / "guests")
    return sorted(path for home in homes for path in home.iterdir() if path.is_dir() and _language(path) in BUILDERS)


def _language(directory: Path) -> str:
    return directory.name.rsplit("-", 1)[-1]


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)  # noqa: S603  fixed words


def main() -> None:
    """Build each, then write or compare."""
    options = argparse.ArgumentParser(description="Build compiled plugins.")
    options.add_argument("--check", action="store_true", help="compare with the kept modules instead of replacing them")
    options.add_argument("directories", nargs="*", type=Path, metavar="DIRECTORY")
    given = options.parse_args()
    for source in [path.resolve() for path in given.directories] or _all():
        name = source.name
        with tempfile.TemporaryDirectory() as work:
            out = Path(work) / "plugin.wasm"
            BUILDERS[_language(source)](source, out, Path(work))
            built = out.read_bytes()
        digest = hashlib.sha256(built).hexdigest()
        record = source / "plugin.wasm.sha256"
        if given.check:
            kept = record.read_text(encoding="ascii").split()[0]
            if digest != kept:
                sys.exit(f"{name}: built {digest}, kept {kept}")
        else:
            (source / "plugin.wasm").write_bytes(built)
            record.write_text(f"{digest}  plugin.wasm\n", encoding="ascii")
        print(f"{name} {digest} {len(built):,} bytes")  # noqa: T201  a script's answer


if __name__ == "__main__":
    main()
