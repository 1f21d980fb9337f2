"""Who does something to the marketplace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marketplace.errors import NotPermitted
from zelavis.audit import actor_of


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Somebody, as the verbs need to know them."""

    #: As in the audit log: ``user:name``, ``token:name``, ``system``.
    name: str
    #: The person, for memberships and permissions; a token's owner.
    user: Any = None
    #: Public part of the token used; empty: none.
    token_prefix: str = ""
    #: Scopes of the token used; a person on the site has none and needs none.
    scopes: frozenset[str] = frozenset()
    #: The platform itself: seeding and sweeping.
    is_system: bool = False

    @property
    def identity(self) -> str:
        """The person behind, whatever token they use: whom four eyes count."""
        return f"user:{self.user.get_username()}" if self.user is not None else self.name

    @property
    def is_person(self) -> bool:
        """Whether a person stands behind it. A token that nobody owns is nobody."""
        return self.user is not None

    def may(self, permission: str) -> bool:
        """Whether the actor holds a Django permission, ``marketplace.review_release``.

        A token with an owner has the owner's permissions and no more. One without an owner was made by the operator
        on the server and may what its scope says.
        """
        if self.is_system:
            return True
        if self.user is not None:
            return bool(self.user.is_active and self.user.has_perm(permission))
        return bool(self.scopes & {"*", "marketplace:review"})

    def require(self, permission: str) -> None:
        """Raises NotPermitted when :meth:`may` says no."""
        if not self.may(permission):
            raise NotPermitted(f"This needs the permission {permission}.", permission=permission)


def system(name: str = "system") -> Actor:
    """The platform."""
    return Actor(name=name, is_system=True)


def of(request: Any) -> Actor:
    """The actor of a request of the API or the site."""
    token = getattr(request, "auth", None)
    user = getattr(request, "user", None)
    if user is not None and not getattr(user, "is_authenticated", False):
        user = None
    return Actor(
        name=actor_of(request),
        user=user,
        token_prefix=getattr(token, "prefix", "") if token is not None else "",
        scopes=frozenset(getattr(token, "scopes", ())) if token is not None else frozenset(),
    )
