"""``users:read``: people who have an account, by an allow-list of fields."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth import get_user_model

from sandbox.capabilities import arguments
from sandbox.capabilities.base import Capability, Handler, Operation
from sandbox.capabilities.faults import Fault

#: Field a plugin sees, and the model's. Passwords, permissions and log-in times are not on it.
FIELDS = {"username": "username", "firstName": "first_name", "lastName": "last_name", "isActive": "is_active"}
#: Field a plugin may filter by, the model's, and the kind of its values.
_FILTERS: dict[str, tuple[str, type]] = {"username": ("username", str), "isActive": ("is_active", bool)}


class UsersHandler(Handler):
    """Reads of one call."""

    def get(self, args: list[Any]) -> Any:
        arguments.no_more(args, 1)
        found = self._rows().filter(pk=_number(arguments.get(args, 0, name="id"))).values(*self._columns()).first()
        return None if found is None else self._shown(found)

    def page(self, args: list[Any]) -> dict[str, Any]:
        arguments.no_more(args, 1)
        options = arguments.options(args, 0, allowed=("where", "cursor", "limit"))
        where = options.get("where") or {}
        if not isinstance(where, dict):
            raise arguments.invalid("where must be an object.")
        rows = self._rows()
        for field, value in where.items():
            # Look-ups such as password__startswith are no field of this list.
            if field not in _FILTERS:
                raise Fault("field_not_allowed", f"{field[:60]} cannot be filtered by.")
            column, kind = _FILTERS[field]
            if not isinstance(value, kind) or (isinstance(value, str) and "\x00" in value):
                raise arguments.invalid("username is filtered by a text, isActive by true or false.")
            rows = rows.filter(**{column: value})
        if options.get("cursor") is not None:
            rows = rows.filter(pk__gt=_number(options["cursor"]))
        limit = arguments.whole(options.get("limit", 20), name="limit", least=1, most=100)
        found = list(rows.order_by("pk").values(*self._columns())[: limit + 1])
        items = [self._shown(row) for row in found[:limit]]
        return {"items": items, "cursor": items[-1]["id"] if len(found) > limit else None}

    def _rows(self) -> Any:
        return get_user_model()._default_manager.all()

    def _columns(self) -> list[str]:
        return ["pk", *FIELDS.values(), *(["email"] if self._email() else [])]

    def _email(self) -> bool:
        return self.context.grant.get("email") is True

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        shown = {"id": str(row["pk"]), **{name: row[column] for name, column in FIELDS.items()}}
        return {**shown, "email": row["email"]} if self._email() else shown


def _number(value: Any) -> int:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise arguments.invalid("id must be the number of a user.")
    return int(text)


class UsersRead(Capability):
    """Reading accounts."""

    name = "users:read"
    summary = "Accounts of this site: name and state, and the e-mail address where that was consented to."
    risk = "Reads who has an account here."
    risk_level = "medium"
    quantities: ClassVar[dict[str, Any]] = {
        "email": {"type": "boolean", "description": "Whether e-mail addresses are among the fields."}
    }
    handler = UsersHandler
    operations: ClassVar[dict[str, Operation]] = {
        "get": Operation(
            name="get",
            run=UsersHandler.get,
            signature="get(id) → {id, username, firstName, lastName, isActive, email?} or null",
            text="One account.",
        ),
        "list": Operation(
            name="list",
            run=UsersHandler.page,
            signature="list({where?: {username?, isActive?}, cursor?, limit?}) → {items, cursor}",
            text="Accounts by id.",
        ),
    }

    def explain_quantities(self, grant: Any) -> list[str]:
        return ["with e-mail addresses" if grant.get("email") is True else "without e-mail addresses"]
