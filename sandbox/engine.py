"""The engine profile: which WebAssembly is taken, and how it is compiled and stopped.

A profile that contradicts itself aborts the interpreter instead of raising, so it is tried in a child process first
(``sandbox.selftest``) and nothing here depends on what an operator may set, but for two switches.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import wasmtime

#: The one version on which the fast path was tested. Another one is served by the public interface.
TESTED_VERSION = "50.0.1"
#: Native stack of a call. JavaScript's own limit of 512 KiB of frames needs more than 1.5 MiB of it.
STACK_BYTES = 2 << 20
#: No call can be given more memory than this, whatever the operator's limits say.
MAX_MEMORY_BYTES = 64 << 20
MAX_TABLE_ELEMENTS = 20_000

#: Proposals that are refused, in the engine's own names.
REFUSED = (
    "wasm_component_model",
    "wasm_custom_page_sizes",
    "wasm_exceptions",
    "wasm_function_references",
    "wasm_gc",
    "wasm_memory64",
    "wasm_multi_memory",
    "wasm_relaxed_simd",
    "wasm_simd",
    "wasm_stack_switching",
    "wasm_tail_call",
    "wasm_threads",
    "shared_memory",
    "wasm_wide_arithmetic",
)


@dataclass(frozen=True)
class Profile:
    """What may differ between engines. A compiled module belongs to one profile."""

    #: Traps by explicit checks instead of signals: slower, but safe whatever else is loaded in the process.
    hardened: bool = False
    #: Count instructions.
    fuel: bool = False


def version() -> str:
    """Of the installed wasmtime package."""
    return importlib.metadata.version("wasmtime")


def config(profile: Profile) -> wasmtime.Config:
    """The public part of the profile."""
    made = wasmtime.Config()
    made.strategy = "cranelift"
    made.cranelift_opt_level = "speed"
    # Equal inputs give equal bits, whatever the processor.
    made.cranelift_nan_canonicalization = True
    made.epoch_interruption = True
    made.consume_fuel = profile.fuel
    made.signals_based_traps = not profile.hardened
    made.memory_init_cow = True
    made.max_wasm_stack = STACK_BYTES
    # The thread pool of a parallel compilation does not survive fork(): the next compilation would wait forever.
    made.parallel_compilation = False
    for name in REFUSED:
        setattr(made, name, False)
    return made


def fingerprint(profile: Profile) -> str:
    """What a compiled module depends on beside its source; part of its key in the cache."""
    facts = [
        version(),
        profile.hardened,
        profile.fuel,
        list(REFUSED),
        STACK_BYTES,
        platform.machine(),
        _processor(),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _processor() -> str:
    """The processor's features: code made for one must not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
