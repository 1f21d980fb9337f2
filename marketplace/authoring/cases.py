"""``plugin test``: cases beside the plugin, each an event in and what is expected to come of it.

A case is a JSON file in ``cases/``: ``{"hook", "event", "settings"?, "kv"?: {key: value before}, "expect": {"status"?,
"result"?, "code"?, "kv"?: {key: value after, null: absent}, "logs"?: [text that a line holds]}}``. In an expected
object only the named members are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.authoring import trial
from marketplace.authoring.errors import AuthorError
from marketplace.authoring.project import Project
from sandbox.artifact import Artifact
from sandbox.capabilities.backends.memory import MemoryBackend
from sandbox.capabilities.backends.protocol import ValueChange
from sandbox.outcome import Outcome

_MEMBERS = {"hook", "event", "settings", "kv", "expect"}
_EXPECTED = {"status", "result", "code", "kv", "logs"}
_PLENTY = 1 << 40


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of one case."""

    name: str
    #: What is not as expected, one line each; empty: it passed.
    problems: tuple[str, ...]
    outcome: Outcome

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.problems


def run_all(project: Project, artifact: Artifact) -> Iterator[Verdict]:
    """Every case, in the order of the file names.

    Raises:
        AuthorError: there is none, or one cannot be read.
    """
    files = sorted((project.directory / "cases").glob("*.json"))
    if not files:
        raise AuthorError(f"{project.directory / 'cases'}: there are no cases here (*.json).")
    trial.warm(project, artifact)
    for file in files:
        yield _run(project, artifact, file)


def _run(project: Project, artifact: Artifact, file: Path) -> Verdict:
    case = _read(file)
    name, expected = project.manifest.name, case.get("expect", {})
    backend = MemoryBackend()
    changes = [ValueChange(key, json.dumps(value), None) for key, value in case.get("kv", {}).items()]
    if changes:
        backend.values.apply(name, changes, most_bytes=_PLENTY, most_keys=_PLENTY, now_ms=0)
    outcome = trial.run(
        project, artifact, case["hook"], case.get("event"), backend=backend, settings=case.get("settings")
    )
    problems = list(_compare(outcome, expected))
    stored = backend.values.all(name)
    for key, value in expected.get("kv", {}).items():
        found = json.loads(stored[key]) if key in stored else None
        problems += _different(f"kv {key}", value, found)
    return Verdict(name=file.stem, problems=tuple(problems), outcome=outcome)


def _read(file: Path) -> dict[str, Any]:
    try:
        case = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AuthorError(f"{file}: not JSON: {error}") from error
    if not isinstance(case, dict) or not isinstance(case.get("hook"), str):
        raise AuthorError(f'{file}: a case is an object with a "hook".')
    unknown = sorted((set(case) - _MEMBERS) | (set(case.get("expect", {})) - _EXPECTED))
    if unknown:
        raise AuthorError(f"{file}: unknown members: {', '.join(unknown)}.")
    return case


def _compare(outcome: Outcome, expected: dict[str, Any]) -> Iterator[str]:
    code = outcome.error.code if outcome.error else ""
    if outcome.status.value != expected.get("status", "ok"):
        message = f": {outcome.error.message}" if outcome.error else ""
        yield f"status: expected {expected.get('status', 'ok')}, got {outcome.status.value}{message}"
    if "code" in expected and code != expected["code"]:
        yield f"code: expected {expected['code']}, got {code or 'none'}"
    if "result" in expected:
        yield from _different("result", expected["result"], outcome.result)
    for text in expected.get("logs", ()):
        if not any(text in line.message for line in outcome.logs):
            yield f"logs: no line holds {text!r}"


def _different(place: str, expected: Any, found: Any) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        return [line for name, one in expected.items() for line in _different(f"{place}.{name}", one, found.get(name))]
    if json.dumps(expected, sort_keys=True) == json.dumps(found, sort_keys=True):
        return []
    return [f"{place}: expected {json.dumps(expected)}, got {json.dumps(found)}"]
