"""The settings of a plugin: the subset of JSON Schema that a form can be drawn from (hostile row D11).

A settings schema is an object whose ``properties`` are flat fields:

``string`` (``minLength``, ``maxLength`` ≤ 10,000, ``enum``, ``format``: ``uri``, ``email``, ``multiline``, ``secret``),
``integer`` and ``number`` (``minimum``, ``maximum``), ``boolean``, and ``array`` of strings (``maxItems`` ≤ 100).
Each field may have ``title``, ``description`` and ``default``; a secret has no default. There is no ``$ref`` and no
``pattern``: nothing is fetched, and no regular expression of a stranger runs here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MAX_FIELDS = 50
MAX_TEXT = 10_000
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,62}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_COMMON = {"type", "title", "description", "default"}
_ALLOWED = {
    "string": _COMMON | {"minLength", "maxLength", "enum", "format"},
    "integer": _COMMON | {"minimum", "maximum"},
    "number": _COMMON | {"minimum", "maximum"},
    "boolean": _COMMON,
    "array": _COMMON | {"items", "maxItems"},
}
_FORMATS = {"uri", "email", "multiline", "secret"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One setting, as a form shows it."""

    name: str
    #: ``text``, ``multiline``, ``secret``, ``email``, ``url``, ``choice``, ``integer``, ``number``, ``boolean`` or
    #: ``list``.
    kind: str
    title: str
    description: str
    required: bool
    default: Any
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    #: Longest text, or most items of a list.
    longest: int = MAX_TEXT


def problems(schema: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a settings schema: JSON pointer and message each."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "", "expected an object schema"
        return
    for name in sorted(
        set(schema) - {"type", "properties", "required", "additionalProperties", "title", "description"}
    ):
        yield f"/{name}", "is not part of the settings subset"
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        yield "/properties", "expected an object"
        return
    if len(properties) > MAX_FIELDS:
        yield "/properties", f"has more than {MAX_FIELDS} fields"
        return
    required = schema.get("required", [])
    if not isinstance(required, list) or any(not isinstance(name, str) or name not in properties for name in required):
        yield "/required", "names a field that is not there"
    for name, field in properties.items():
        if not _NAME.fullmatch(name) or name in ("constructor", "prototype", "then"):
            yield f"/properties/{name[:60]}", "expected a name of letters, digits and _"
        else:
            yield from ((f"/properties/{name}{path}", message) for path, message in _field_problems(field))


def _field_problems(field: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(field, dict) or not isinstance(field.get("type"), str) or field["type"] not in _ALLOWED:
        yield "/type", f"expected one of {', '.join(_ALLOWED)}"
        return
    wrong = list(_member_problems(field))
    yield from wrong
    if "default" in field:
        if field.get("format") == "secret":
            yield "/default", "a secret has no default"
        elif not wrong:
            # Measured by members that are well themselves: a bound that is no number compares with nothing.
            yield from (("/default", message) for message in _value_problems(field, field["default"]))


def _member_problems(field: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in sorted(set(field) - _ALLOWED[field["type"]]):
        yield f"/{name}", "is not part of the settings subset"
    for name, most in (("title", 100), ("description", 500)):
        text = field.get(name, "")
        if not isinstance(text, str) or len(text) > most or any(not char.isprintable() for char in text):
            yield f"/{name}", f"expected one line of at most {most} characters"
    for name in ("minLength", "maxLength", "maxItems"):
        value = field.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TEXT:
            yield f"/{name}", f"expected 0 to {MAX_TEXT}"
    for name in ("minimum", "maximum"):
        value = field.get(name, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 2**53:
            yield f"/{name}", "expected a number"
    choices = field.get("enum", ["one"])
    if not _texts(choices, 100) or not choices or len(set(choices)) != len(choices):
        yield "/enum", "expected 1 to 100 different texts"
    if not isinstance(form := field.get("format", "uri"), str) or form not in _FORMATS:
        yield "/format", f"expected one of {', '.join(sorted(_FORMATS))}"
    if field["type"] == "array" and field.get("items") != {"type": "string"}:
        yield "/items", 'expected {"type": "string"}'


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """The form of a schema that :func:`problems` found well."""
    required = set(schema.get("required", []))
    return [
        Field(
            name=name,
            kind=_kind(field),
            title=field.get("title") or name,
            description=field.get("description", ""),
            required=name in required,
            default=field.get("default"),
            choices=tuple(field.get("enum", ())),
            minimum=field.get("minimum"),
            maximum=field.get("maximum"),
            longest=field.get("maxItems", 100) if field["type"] == "array" else field.get("maxLength", MAX_TEXT),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _kind(field: Mapping[str, Any]) -> str:
    if field["type"] == "string":
        kinds = {"uri": "url", "email": "email", "multiline": "multiline", "secret": "secret"}
        return "choice" if "enum" in field else kinds.get(field.get("format", ""), "text")
    return "list" if field["type"] == "array" else str(field["type"])


def secrets(schema: Mapping[str, Any]) -> set[str]:
    """Names of the fields that are written and never read back."""
    return {name for name, field in schema.get("properties", {}).items() if field.get("format") == "secret"}


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What holds where nobody filled in anything."""
    return {name: field["default"] for name, field in schema.get("properties", {}).items() if "default" in field}


def value_problems(schema: Mapping[str, Any], values: Any) -> list[tuple[str, str]]:
    """What is wrong with settings: JSON pointer and message each. An unknown name is wrong; a null is not."""
    if not isinstance(values, Mapping):
        return [("", "expected an object")]
    properties = schema.get("properties", {})
    found = [(f"/{name}", "there is no such setting") for name in values if name not in properties]
    found += [
        (f"/{name}", "is required")
        for name in schema.get("required", [])
        if values.get(name) is None and "default" not in properties[name]
    ]
    for name, value in values.items():
        if name in properties and value is not None:
            found += [(f"/{name}", message) for message in _value_problems(properties[name], value)]
    return found


def _value_problems(field: Mapping[str, Any], value: Any) -> Iterator[str]:
    match field["type"]:
        case "string":
            yield from _text_problems(field, value)
        case "integer" | "number":
            right = int if field["type"] == "integer" else (int, float)
            if not isinstance(value, right) or isinstance(value, bool):
                yield f"expected {'a whole number' if right is int else 'a number'}"
            elif not field.get("minimum", value) <= value <= field.get("maximum", value):
                yield f"expected {field.get('minimum', 'at most')} to {field.get('maximum', 'more')}"
        case "boolean":
            if not isinstance(value, bool):
                yield "expected true or false"
        case _:
            if not _texts(value, field.get("maxItems", 100)):
                yield f"expected a list of at most {field.get('maxItems', 100)} texts"


def _text_problems(field: Mapping[str, Any], value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield "expected text"
        return
    if not field.get("minLength", 0) <= len(value) <= field.get("maxLength", MAX_TEXT):
        yield f"expected {field.get('minLength', 0)} to {field.get('maxLength', MAX_TEXT)} characters"
    if "enum" in field and value not in field["enum"]:
        yield "is not one of the choices"
    if field.get("format") == "email" and not _EMAIL.fullmatch(value):
        yield "expected an e-mail address"
    if field.get("format") == "uri" and not _is_url(value):
        yield "expected an http or https URL"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[\s<>\"]", text)
    except ValueError:
        return False


def _texts(value: Any, most: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(isinstance(one, str) and len(one) <= 500 for one in value)
    )
