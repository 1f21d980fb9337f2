"""What the routes of manifests and events take, with the seed's messages."""

from __future__ import annotations

from typing import Any

from runs.api.bodies import ENVIRONMENTS
from runs.errors import InvalidEnvironment
from zelavis.errors import InvalidBody, NotFound

_ONE_OF = f"must be one of {', '.join(ENVIRONMENTS)}"


class NoManifest(NotFound):
    """No manifest is registered for this environment."""


def check_environment(environment: str) -> None:
    """Of a path.

    Raises:
        InvalidEnvironment: it is none.
    """
    if environment not in ENVIRONMENTS:
        raise InvalidEnvironment(f"environment {_ONE_OF}")


def registration(body: Any) -> dict[str, Any]:
    """``{environment, manifest}``.

    Raises:
        InvalidBody: the message says what is wrong.
    """
    given = _object(body)
    manifest = given.get("manifest")
    # The seed's check lets a list pass here and refuses it at its missing versionId.
    if not isinstance(manifest, dict | list):
        raise InvalidBody('"manifest" must be an object')
    version = manifest.get("versionId") if isinstance(manifest, dict) else None
    if not isinstance(version, str) or not version:
        raise InvalidBody('"manifest.versionId" must be a non-empty string')
    if len(version) > 200:
        raise InvalidBody('"manifest.versionId" must have at most 200 characters')
    return given


def event(body: Any) -> dict[str, Any]:
    """``{environment, envelope: {name, data?, metadata?, emittedAt}, idempotencyKey?, resolveWaiting?}``.

    Raises:
        InvalidBody: the message says what is wrong.
    """
    given = _object(body)
    envelope = given.get("envelope")
    if not isinstance(envelope, dict | list):
        raise InvalidBody('"envelope" must be an object')
    members = envelope if isinstance(envelope, dict) else {}
    if not _is_text(members.get("name")):
        raise InvalidBody('"envelope.name" must be a non-empty string')
    if not _is_text(members.get("emittedAt")):
        raise InvalidBody('"envelope.emittedAt" must be an ISO timestamp string')
    metadata = members.get("metadata", {})
    if not isinstance(metadata, dict | list):
        raise InvalidBody('"envelope.metadata" must be an object when supplied')
    key = given.get("idempotencyKey", "")
    if not isinstance(key, str):
        raise InvalidBody('"idempotencyKey" must be a string when supplied')
    if not isinstance(given.get("resolveWaiting", False), bool):
        raise InvalidBody('"resolveWaiting" must be a boolean when supplied')
    event_id = metadata.get("eventId") if isinstance(metadata, dict) else None
    _check_length("envelope.name", members["name"], 400)
    _check_length("envelope.emittedAt", members["emittedAt"], 100)
    _check_length("idempotencyKey", key, 300)
    _check_length("envelope.metadata.eventId", event_id if isinstance(event_id, str) else "", 300)
    kept = {name: members[name] for name in ("name", "data", "metadata", "emittedAt") if name in members}
    if not isinstance(metadata, dict):
        del kept["metadata"]
    return {**given, "envelope": kept}


def _object(body: Any) -> dict[str, Any]:
    # A list is an object to the seed, and then has no environment.
    if not isinstance(body, dict | list):
        raise InvalidBody("expected JSON object")
    given = body if isinstance(body, dict) else {}
    environment = given.get("environment")
    if not isinstance(environment, str) or environment not in ENVIRONMENTS:
        raise InvalidBody(f'"environment" {_ONE_OF}')
    return given


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _check_length(name: str, value: str, longest: int) -> None:
    if len(value) > longest:
        raise InvalidBody(f'"{name}" must have at most {longest} characters')
