"""``input`` of an event filter: what of an event becomes the input of the run it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runs.jsontext import ABSENT
from runs.manifests.predicates import resolve_path


class MapperError(ValueError):
    """The mapper itself is malformed."""


def project(mapper: Any, envelope: Mapping[str, Any]) -> Any:
    """The input, ``ABSENT`` when there is none.

    Absent or ``{"passthrough": true}``: the event's data. ``{"path": …}``: what stands there.
    ``{"object": {name: mapper | {"path"} | {"lit"}}}``: an object; members that resolve to nothing are left out.

    Raises:
        MapperError: another form.
    """
    if mapper is ABSENT:
        return envelope.get("data", ABSENT)
    if not isinstance(mapper, Mapping):
        raise MapperError("an input mapper is {passthrough}, {path} or {object}")
    if "passthrough" in mapper:
        if mapper["passthrough"] is not True:
            raise MapperError("{passthrough} must be true")
        return envelope.get("data", ABSENT)
    if "path" in mapper:
        return _path(mapper["path"], envelope)
    if "object" in mapper:
        members = mapper["object"]
        if isinstance(members, list):
            members = {str(index): item for index, item in enumerate(members)}
        if not isinstance(members, Mapping):
            raise MapperError("{object} maps names to mappers, {path} or {lit}")
        made = {name: _member(inner, envelope) for name, inner in members.items()}
        return {name: value for name, value in made.items() if value is not ABSENT}
    raise MapperError(
        "an input mapper has one of passthrough, path, object; this one has " + (", ".join(mapper) or "none")
    )


def _member(inner: Any, envelope: Mapping[str, Any]) -> Any:
    if not isinstance(inner, Mapping):
        raise MapperError("a member of {object} is a mapper, {path} or {lit}")
    if "lit" in inner:
        return inner["lit"]
    return _path(inner["path"], envelope) if "path" in inner else project(inner, envelope)


def _path(path: Any, envelope: Mapping[str, Any]) -> Any:
    if not isinstance(path, str) or not path:
        raise MapperError("{path} must be a non-empty string")
    return resolve_path(path, envelope)
