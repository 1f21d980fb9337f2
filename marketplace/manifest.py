"""The manifest ``zelavis.plugin.json``: strict reading, and the JSON Schema that this server publishes.

Reading tells every problem at once, each with a JSON pointer, so that an author mends a manifest in one go.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from marketplace import settings_schema, versions
from marketplace.errors import InvalidManifest
from sandbox.capabilities import registry as capability_registry
from zelavis.api.parsers import loads

NAME = "zelavis.plugin.json"
#: Where the server publishes the schema.
SCHEMA_PATH = "/api/marketplace/schemas/zelavis.plugin.v1.json"
MAX_BYTES = 64 << 10
_SCHEMA_FILE = Path(__file__).parent / "schemas" / "zelavis.plugin.v1.json"
#: Kind of an artifact by the suffix of its file.
KINDS = {".mjs": "javascript", ".wasm": "wasm"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with a manifest."""

    #: JSON pointer, RFC 6901; empty: the whole.
    pointer: str
    #: Stable name of the rule.
    rule: str
    message: str

    def as_json(self) -> dict[str, str]:
        """As in the ``errors`` member of an answer."""
        return {"pointer": self.pointer, "code": self.rule, "detail": self.message}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest that holds what its schema says."""

    text: str
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The plugin's name."""
        return str(self.data["name"])

    @property
    def version(self) -> str:
        """Exact SemVer."""
        return str(self.data["version"])

    @property
    def publisher(self) -> str:
        """Slug."""
        return str(self.data["publisher"])

    @property
    def entry(self) -> str:
        """Name of the file that is run."""
        return str(self.data["entry"])

    @property
    def kind(self) -> str:
        """``javascript`` or ``wasm``."""
        return KINDS[PurePosixPath(self.entry).suffix]

    @property
    def capabilities(self) -> Mapping[str, Mapping[str, Any]]:
        """What it asks for."""
        asked: Mapping[str, Mapping[str, Any]] = self.data.get("capabilities", {})
        return asked


@cache
def _static_schema() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(_SCHEMA_FILE.read_text(encoding="utf-8"))
    return value


def schema() -> dict[str, Any]:
    """The schema as published: the file, with every capability of this server spelled out."""
    whole = copy.deepcopy(_static_schema())
    whole["$id"] = SCHEMA_PATH
    declared = [one for one in capability_registry.all_capabilities() if one.declared]
    whole["properties"]["capabilities"] |= {
        "properties": {one.name: {"description": f"{one.summary} {one.risk}", **one.schema()} for one in declared},
        "additionalProperties": False,
    }
    return whole


def parse(raw: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        InvalidManifest: not strict JSON, or not what the schema asks for; ``errors`` lists every problem.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidManifest(f"{NAME} has more than {MAX_BYTES:,} bytes.", file=NAME, rule="manifest_size")
    try:
        data = loads(raw)
        _refuse_duplicates(raw)
    except ValueError as error:
        raise InvalidManifest(f"{NAME} is not valid JSON: {error}", file=NAME, rule="manifest_json") from None
    found = problems(data)
    if found:
        first = found[0]
        more = f" And {len(found) - 1} more." if len(found) > 1 else ""
        raise InvalidManifest(
            f"{NAME}{' at ' + first.pointer if first.pointer else ''}: {first.message}.{more}",
            file=NAME,
            rule=first.rule,
            errors=[problem.as_json() for problem in found],
        )
    return Manifest(text=raw.decode("utf-8"), data=data)


def problems(data: Any) -> list[Problem]:
    """Everything wrong with a parsed manifest."""
    found = [_problem(error) for error in Draft202012Validator(_static_schema()).iter_errors(data)]
    if found:
        return sorted(found, key=lambda problem: problem.pointer)[:50]
    return list(_meaning(data))


def _refuse_duplicates(raw: bytes) -> None:
    """Two members of one name mean different things to different readers."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the member {twice!r} appears twice")
        return dict(pairs)

    json.loads(raw, object_pairs_hook=once)


def _problem(error: ValidationError) -> Problem:
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error.absolute_path)
    value = error.instance
    match error.validator:
        case "pattern":
            message = f"{_short(value)} does not have the form {error.validator_value}"
        case "additionalProperties" if isinstance(value, dict):
            known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
            unknown = sorted(set(value) - set(known))
            message = f"unknown member {', '.join(map(repr, unknown[:5]))}"
        case "required":
            message = error.message.replace("is a required property", "is missing")
        case "const" | "enum":
            message = f"{_short(value)} is not {_short(error.validator_value)}"
        case "not":
            message = f"{_short(value)} has two hyphens in a row"
        case _:
            message = error.message if len(error.message) < 200 else f"{error.validator}: {_short(value)}"
    return Problem(pointer=pointer, rule=f"manifest_{error.validator}", message=message)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 80 else text[:77] + "…"


def _meaning(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What a schema cannot say."""
    yield from _check_versions(data)
    for field in ("title", "description"):
        if any(not char.isprintable() for char in data[field]) or not data[field].strip():
            yield Problem(pointer=f"/{field}", rule="manifest_line", message="expected one line of visible text")
    if ".." in data["entry"].split("/") or "//" in data["entry"]:
        yield Problem(pointer="/entry", rule="manifest_entry", message="leaves the bundle")
    for group, key in (("hooks", "name"), ("schedules", "name"), ("workflows", "id")):
        yield from _check_unique(data, group, key)
    seen = set()
    for index, route in enumerate(data.get("routes", [])):
        for method in route["methods"]:
            if (route["path"], method) in seen:
                yield Problem(pointer=f"/routes/{index}", rule="manifest_twice", message="is there twice")
            seen.add((route["path"], method))
    for index, schedule in enumerate(data.get("schedules", [])):
        yield from _check_schedule(schedule, f"/schedules/{index}")
    for name, asked in data.get("capabilities", {}).items():
        yield from _check_capability(name, asked)
    for path, message in settings_schema.problems(data.get("settings", {"type": "object", "properties": {}})):
        yield Problem(pointer=f"/settings{path}", rule="manifest_settings", message=message)


def _check_versions(data: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        versions.parse(data["version"])
    except ValueError as error:
        yield Problem(pointer="/version", rule="manifest_version", message=str(error))
    try:
        versions.check_range(data["compatibility"]["zelavis"])
    except ValueError as error:
        yield Problem(pointer="/compatibility/zelavis", rule="manifest_range", message=str(error))


def _check_unique(data: Mapping[str, Any], group: str, key: str) -> Iterator[Problem]:
    seen = set()
    for index, item in enumerate(data.get(group, [])):
        if item[key] in seen:
            yield Problem(pointer=f"/{group}/{index}", rule="manifest_twice", message=f"{item[key]} is there twice")
        seen.add(item[key])


def _check_schedule(schedule: Mapping[str, Any], pointer: str) -> Iterator[Problem]:
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    try:
        CronSim(schedule["cron"], datetime.now(UTC))
    except CronSimError as error:
        yield Problem(pointer=f"{pointer}/cron", rule="manifest_cron", message=str(error))
    try:
        ZoneInfo(schedule.get("timezone", "UTC"))
    except (KeyError, ValueError, OSError):
        yield Problem(pointer=f"{pointer}/timezone", rule="manifest_timezone", message="unknown time zone")


def _check_capability(name: str, asked: Mapping[str, Any]) -> Iterator[Problem]:
    known = capability_registry.get(name)
    if known is None or not known.declared:
        why = "needs no declaration" if known else "there is no such capability"
        yield Problem(pointer=f"/capabilities/{name}", rule="manifest_capability", message=why)
        return
    wrong = list(Draft202012Validator(known.schema()).iter_errors(asked))
    # What a schema cannot say: hosts of private networks, wildcards over names that anybody can have.
    for message in [] if wrong else known.problems(asked):
        yield Problem(pointer=f"/capabilities/{name}", rule="manifest_capability", message=message)
    for error in wrong:
        inner = _problem(error)
        yield Problem(pointer=f"/capabilities/{name}{inner.pointer}", rule=inner.rule, message=inner.message)
    if any(not char.isprintable() for char in asked["reason"]):
        yield Problem(
            pointer=f"/capabilities/{name}/reason", rule="manifest_line", message="expected one line of visible text"
        )
