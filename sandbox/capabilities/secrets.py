"""``secrets``: used, never read. The manifest binds each to a host and a header; the operator sets the value.

``ctx.http.fetch(url, {secret: "api-key"})`` makes the host put the value into the bound header of a request to the
bound host. The value never enters the guest, the transcript, the log or the tape.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, ClassVar

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from sandbox.capabilities import arguments, hosts
from sandbox.capabilities.base import Capability, Context, Handler, Operation
from sandbox.capabilities.faults import Fault, Refused

NAME = r"^[a-z][a-z0-9-]{0,62}$"


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Where a secret may go."""

    name: str
    #: One declared host, without wildcard: ``api.example.com`` or with a port.
    host: str
    #: The path must begin with it.
    path: str
    header: str
    #: Stands before the value: ``Bearer `` .
    prefix: str

    def covers(self, target: hosts.Target) -> bool:
        """Whether a request to ``target`` may carry the secret."""
        exact = "*" not in self.host and hosts.is_allowed(target, [self.host])
        plain = target.path.partition("?")[0]
        # A path that a server could read in two ways is not one that begins with the bound one.
        clean = "//" not in plain and "%2e" not in plain.lower() and ".." not in plain
        below = plain == self.path or plain.startswith(self.path.rstrip("/") + "/")
        return exact and clean and below


def binding_of(context: Context, name: Any) -> Binding:
    """The binding of a secret in the consented grants of this call.

    Raises:
        Refused: ``secret_refused``: the manifest declares no such secret.
    """
    grant = context.grants.get("secrets", {})
    declared = grant.get("names", {}) if isinstance(grant, dict) or hasattr(grant, "get") else {}
    entry = declared.get(name) if isinstance(name, str) else None
    if not isinstance(entry, dict):
        raise Refused("secret_refused", "The manifest declares no secret of this name.")
    return Binding(
        name=name,
        host=str(entry.get("host", "")),
        path=str(entry.get("path", "/")),
        header=str(entry.get("header", "Authorization")),
        prefix=str(entry.get("prefix", "")),
    )


def _box() -> Fernet:
    drawn = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"zelavis plugin secrets at rest")
    return Fernet(base64.urlsafe_b64encode(drawn.derive(settings.SECRET_KEY.encode())))


def seal(value: str) -> str:
    """A secret as it stands in the database."""
    return _box().encrypt(value.encode()).decode("ascii")


def unseal(sealed: str) -> str:
    """The secret behind :func:`seal`.

    Raises:
        Fault: ``secret_missing``: sealed under another key; it must be set again.
    """
    try:
        return _box().decrypt(sealed.encode("ascii")).decode()
    except (InvalidToken, UnicodeError):
        raise Fault("secret_missing", "The stored secret cannot be read any more; set it again.") from None


class SecretsHandler(Handler):
    """Tells which secrets are set."""

    def names(self, args: list[Any]) -> list[dict[str, Any]]:
        arguments.no_more(args, 0)
        declared = sorted(self.context.grant.get("names", {}))
        kept = self.context.backend.secret_names(self.context.plugin)
        return [{"name": name, "set": name in kept} for name in declared]


class Secrets(Capability):
    """Values that the host injects."""

    name = "secrets"
    summary = "Values that an operator sets and the host puts into requests; the plugin never sees them."
    risk = "Acts with keys of this site at the hosts they are bound to."
    risk_level = "high"
    required = ("names",)
    quantities: ClassVar[dict[str, Any]] = {
        "names": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 20,
            "propertyNames": {"pattern": NAME},
            "description": "Where each secret may go, by its name.",
            "additionalProperties": {
                "type": "object",
                "required": ["host"],
                "additionalProperties": False,
                "properties": {
                    "host": {
                        "type": "string",
                        "maxLength": 260,
                        "pattern": hosts.PATTERN,
                        "description": "The one host it is sent to, with a port where it needs one; no wildcard.",
                    },
                    "path": {
                        "type": "string",
                        "maxLength": 200,
                        "pattern": "^/[!-~]*$",
                        "description": "Requests to this path and below it may carry it; `/` where none is given.",
                    },
                    "header": {
                        "type": "string",
                        "pattern": "^[A-Za-z][A-Za-z0-9-]{0,63}$",
                        "description": "The header it is put into; `Authorization` where none is given.",
                    },
                    "prefix": {
                        "type": "string",
                        "maxLength": 40,
                        "pattern": "^[ -~]*$",
                        "description": "Stands before the value, such as `Bearer `; nothing where none is given.",
                    },
                },
            },
        }
    }
    handler = SecretsHandler
    operations: ClassVar[dict[str, Operation]] = {
        "list": Operation(
            name="list",
            run=SecretsHandler.names,
            signature="list() → [{name, set}]",
            text="The declared secrets and whether an operator has set them; never a value.",
        )
    }

    def problems(self, asked: Any) -> list[str]:
        found = []
        for name, entry in asked.get("names", {}).items():
            wrong = "is a wildcard" if "*" in entry["host"] else hosts.problem(entry["host"])
            if wrong:
                found.append(f"The host {entry['host']} of the secret {name} {wrong}.")
        return found

    def explain_quantities(self, grant: Any) -> list[str]:
        return [f"{name} only at {entry.get('host')}" for name, entry in sorted(grant.get("names", {}).items())]
