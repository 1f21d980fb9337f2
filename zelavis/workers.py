"""Dispatch namespaces and their workers: the verbs behind the API and the admin.

A secret goes in and never comes out. While it is being changed both the new and the old one count, on our side and on
the worker's, so that neither has to be changed at the same moment as the other.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from zelavis import audit, encryption, signing
from zelavis.errors import Conflict, InvalidRequest, NotFound, WorkerNotFound
from zelavis.models import DispatchNamespace, DispatchWorker

#: Shorter secrets are guessed.
SHORTEST = 16


class NamespaceNotFound(NotFound):
    """There is no such dispatch namespace."""

    code = "namespace_not_found"


class WorkerInUse(Conflict):
    """Plugins or other workers still need this; move or remove them first."""

    code = "worker_in_use"


class WorkerExists(Conflict):
    """A namespace or a worker of this name is there already."""

    code = "worker_exists"


def namespace(name: str) -> DispatchNamespace:
    """One namespace.

    Raises:
        NamespaceNotFound: none of this name.
    """
    found = DispatchNamespace.objects.filter(name=name).first()
    if found is None:
        raise NamespaceNotFound(f"There is no dispatch namespace {name[:63]!r}.")
    return found


def get(namespace_name: str, name: str) -> DispatchWorker:
    """One worker.

    Raises:
        NamespaceNotFound, WorkerNotFound.
    """
    found = DispatchWorker.objects.select_related("namespace").filter(
        namespace=namespace(namespace_name), name=name
    ).first()  # fmt: skip
    if found is None:
        raise WorkerNotFound(f"There is no plugin worker {namespace_name}/{name[:63]}.")
    return found


def add_namespace(name: str, *, description: str = "", actor: str) -> DispatchNamespace:
    """A new, empty namespace.

    Raises:
        InvalidRequest: not a name. WorkerExists: taken.
    """
    row = DispatchNamespace(name=name, description=description)
    with transaction.atomic():
        _save(row)
        audit.record("namespace.create", target=f"namespace:{name}", actor=actor)
    return row


def remove_namespace(name: str, *, actor: str) -> None:
    """Take an empty namespace away.

    Raises:
        NamespaceNotFound, WorkerInUse.
    """
    with transaction.atomic():
        _remove(namespace(name), f"The namespace {name} still has workers.")
        audit.record("namespace.remove", target=f"namespace:{name}", actor=actor)


def add(namespace_name: str, values: Mapping[str, Any], *, secret: str = "", actor: str) -> DispatchWorker:
    """A new worker; ``values`` are fields of its row.

    Raises:
        NamespaceNotFound, InvalidRequest, WorkerExists.
    """
    row = DispatchWorker(namespace=namespace(namespace_name), **values, secret=encryption.seal(_strong(secret)))
    with transaction.atomic():
        _save(row)
        audit.record("worker.create", target=f"worker:{row}", actor=actor, changes={"fields": [[], sorted(values)]})
    return row


def change(row: DispatchWorker, values: Mapping[str, Any], *, actor: str) -> DispatchWorker:
    """Other values for a worker's row, in force from the next request on.

    Raises:
        InvalidRequest: a value it cannot have. WorkerNotFound: removed meanwhile.
    """
    for field, value in values.items():
        setattr(row, field, value)
    _check(row)
    with transaction.atomic():
        # These columns and no others: the secret may be changed by somebody else meanwhile.
        if values and not DispatchWorker.objects.filter(pk=row.pk).update(**values):
            raise WorkerNotFound(f"The plugin worker {row} was removed meanwhile.")
        audit.record("worker.change", target=f"worker:{row}", actor=actor, changes={"fields": [[], sorted(values)]})
    return get(row.namespace.name, row.name)


def remove(row: DispatchWorker, *, actor: str) -> None:
    """Take a worker away.

    Raises:
        WorkerInUse: a plugin or one of its versions names it.
    """
    told = str(row)
    with transaction.atomic():
        _remove(row, f"Plugins name the worker {told}, or versions of them that are kept for roll back.")
        audit.record("worker.remove", target=f"worker:{told}", actor=actor)


def rotate(row: DispatchWorker, *, secret: str = "", actor: str) -> str:
    """Begin to change the secret; answers the new one, this once, when it was drawn here.

    Requests are signed with both, and answers may be signed with either, until :func:`settle`.

    Raises:
        InvalidRequest: too short.
    """
    drawn = "" if secret else f"whsec_{_base64(secrets.token_bytes(32))}"
    new = _strong(secret or drawn)
    with transaction.atomic():
        DispatchWorker.objects.filter(pk=row.pk).update(secret=encryption.seal(new), previous_secret=row.secret)
        audit.record(
            "worker.rotate", target=f"worker:{row}", actor=actor, changes={"key": [_key_id(row.secret), key_id(new)]}
        )
    row.refresh_from_db()
    return drawn


def settle(row: DispatchWorker, *, actor: str) -> None:
    """End the change of a secret: the old one counts no more."""
    with transaction.atomic():
        if DispatchWorker.objects.filter(pk=row.pk).exclude(previous_secret="").update(previous_secret=""):
            audit.record("worker.settle", target=f"worker:{row}", actor=actor)
    row.refresh_from_db()


def keys(row: DispatchWorker, *, shared: Sequence[str]) -> tuple[str, ...]:
    """The secrets that count for a worker, the newest first; a worker without one of its own has the server's.

    Raises:
        SecretUnreadable: kept under another ZELAVIS_SECRET_KEY.
    """
    own = encryption.unseal(row.secret)
    found = (own, encryption.unseal(row.previous_secret)) if own else shared
    return tuple(key for key in found if key)


def key_id(key: str) -> str:
    """A name for a secret that says nothing of it: for pages, logs and the header that tells which one signed."""
    return signing.key_id(key) if key else ""


def _key_id(sealed: str) -> str:
    try:
        return key_id(encryption.unseal(sealed))
    except encryption.SecretUnreadable:
        return "unreadable"


def key_ids(row: DispatchWorker) -> list[str]:
    """Names of the secrets that are kept for a worker, the newest first."""
    return [name for name in (_key_id(row.secret), _key_id(row.previous_secret)) if name]


def _strong(secret: str) -> str:
    if secret and len(secret) < SHORTEST:
        raise InvalidRequest(f"A worker's secret has at least {SHORTEST} characters.")
    try:
        if secret:
            signing.key_id(secret)
    except ValueError:
        raise InvalidRequest("The secret says whsec_ and is not base64.") from None
    return secret


def _base64(raw: bytes) -> str:
    import base64

    return base64.b64encode(raw).decode("ascii")


def _check(row: DispatchNamespace | DispatchWorker) -> None:
    if isinstance(row, DispatchWorker) and not _is_base(row.base_url):
        raise InvalidRequest("baseUrl is an http or https URL without user, password and query.")
    try:
        row.full_clean(validate_constraints=False, validate_unique=False)
    except ValidationError as error:
        raise InvalidRequest("; ".join(f"{name}: {words[0]}" for name, words in error.message_dict.items())) from error


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        # A bracket that is never closed.
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and not parts.query


def _save(row: DispatchNamespace | DispatchWorker) -> None:
    _check(row)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise WorkerExists(f"There is a {row._meta.verbose_name} {row.name} already.") from None


def _remove(row: DispatchNamespace | DispatchWorker, problem: str) -> None:
    try:
        with transaction.atomic():
            row.delete()
    except ProtectedError:
        raise WorkerInUse(problem) from None
