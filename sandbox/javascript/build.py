"""Build ``engine.wasm`` from source: ``python sandbox/javascript/build.py [--check]``.

Two packages from PyPI, pinned and checked: the sources of ``quickjs-ng`` and the compiler ``ziglang``, installed
into a throwaway environment. The built engine is kept in the repository with its digest, so that nobody needs this to
run Zelavis; ``--check`` builds it again and compares. Takes about a minute and half a gigabyte of temporary space.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = "quickjs-ng==0.17.0.2"
SOURCE_SHA256 = "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
COMPILER = "ziglang==0.17.0"
FILES = ("quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c")
FLAGS = (
    "-target", "wasm32-wasi", "-O2", "-fno-sanitize=undefined", "-mexec-model=reactor",
    "-DNDEBUG", "-D_GNU_SOURCE", "-D_WASI_EMULATED_SIGNAL", "-D_WASI_EMULATED_PROCESS_CLOCKS",
)  # fmt: skip
LINK = (
    "-lwasi-emulated-signal", "-lwasi-emulated-process-clocks", "-lm",
    # 512 KiB of JavaScript frames and what C needs beside them.
    "-Wl,-z,stack-size=655360", "-Wl,--export=__stack_pointer", "-s",
)  # fmt: skip


def build(directory: Path) -> bytes:
    """The engine, built in ``directory``."""
    environment = directory / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    _run(python, "-m", "pip", "-q", "download", "--no-deps", "--no-binary", ":all:",
         "--dest", directory, SOURCE)  # fmt: skip
    archive = next(directory.glob("quickjs*ng-*.tar.gz"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        sys.exit(f"{SOURCE} has the digest {digest}, expected {SOURCE_SHA256}")
    with tarfile.open(archive) as opened:
        opened.extractall(directory, filter="data")
    sources = next(directory.glob("quickjs*ng-*/upstream-quickjs"))
    _run(python, "-m", "pip", "-q", "install", COMPILER)
    # Relative names: what the compiler keeps of paths must not differ between machines.
    (sources / "engine.c").write_bytes((HERE / "engine.c").read_bytes())
    _run(python, "-m", "ziglang", "cc", *FLAGS, "-I", ".", "engine.c", *FILES, *LINK, "-o", "engine.wasm", cwd=sources)
    return (sources / "engine.wasm").read_bytes()


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)  # noqa: S603  fixed words


def main() -> None:
    """Build, then write or compare."""
    options = argparse.ArgumentParser(description="Build the JavaScript engine.")
    options.add_argument("--check", action="store_true", help="compare with the kept engine instead of replacing it")
    check = options.parse_args().check
    with tempfile.TemporaryDirectory() as directory:
        built = build(Path(directory))
    digest = hashlib.sha256(built).hexdigest()
    if check:
        kept = (HERE / "engine.wasm.sha256").read_text(encoding="ascii").split()[0]
        if digest != kept:
            sys.exit(f"built {digest}, kept {kept}")
    else:
        (HERE / "engine.wasm").write_bytes(built)
        (HERE / "engine.wasm.sha256").write_text(f"{digest}  engine.wasm\n", encoding="ascii")
    print(f"engine.wasm {digest} {len(built):,} bytes")  # noqa: T201  a script's answer


if __name__ == "__main__":
    main()
