"""``email:send``: mail through the site's own mail server.

A message is a row written with the call's other writes, and is sent after they stand. The quantities are counted
when the plugin asks, so that a plugin in a loop ends at them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from sandbox.capabilities import arguments
from sandbox.capabilities.backends.protocol import Message
from sandbox.capabilities.base import Capability, Context, Handler, Operation, amount
from sandbox.capabilities.faults import Fault

MAX_BODY = 100_000
MAX_RECIPIENTS = 5
DEFAULT_PER_DOMAIN = 10


class EmailHandler(Handler):
    """Messages of one call."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._messages: list[Message] = []

    @property
    def dirty(self) -> bool:
        return bool(self._messages)

    def send(self, args: list[Any]) -> None:
        arguments.no_more(args, 1)
        given = arguments.options(args, 0, allowed=("to", "subject", "text", "html"))
        to = given.get("to")
        recipients = [to] if isinstance(to, str) else to
        if not isinstance(recipients, list) or not 1 <= len(recipients) <= MAX_RECIPIENTS:
            raise arguments.invalid(f"to must be 1 to {MAX_RECIPIENTS} addresses.")
        for one in recipients:
            try:
                validate_email(one if isinstance(one, str) and one.isascii() and len(one) <= 254 else "")
            except ValidationError:
                raise Fault("invalid_address", "An address in to is not an e-mail address.") from None
        subject = arguments.checked_text(given.get("subject"), name="subject", longest=200)
        if not subject.isprintable():
            raise arguments.invalid("subject may hold printable characters only.")
        text = arguments.checked_text(given.get("text"), name="text", longest=MAX_BODY)
        html = given.get("html") or ""
        if html:
            arguments.checked_text(html, name="html", longest=MAX_BODY)
        per_domain = self.context.quantity("perDomainPerHour", DEFAULT_PER_DOMAIN)
        for one in recipients:
            domain = one.rpartition("@")[2].lower()
            self.context.charge(f"messages to {domain[:150]}", per_domain)
        self._messages.append(Message(to=tuple(recipients), subject=subject, text=text, html=html))

    def commit(self) -> None:
        self.context.backend.queue_mail(self.context.plugin, self.context.call.id, self._messages)

    def after_commit(self) -> None:
        self.context.backend.after_commit("email")


class EmailSend(Capability):
    """Sending mail."""

    name = "email:send"
    summary = "Mail through the site's mail server, from the site's address."
    risk = "Sends mail in the name of this site."
    risk_level = "high"
    default_calls = 2
    default_hourly = 20
    quantities: ClassVar[dict[str, Any]] = {
        "perDomainPerHour": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000,
            "description": "Messages an hour to one domain.",
        }
    }
    handler = EmailHandler
    operations: ClassVar[dict[str, Operation]] = {
        "send": Operation(
            name="send",
            run=EmailHandler.send,
            signature="send({to, subject, text, html?}) → null",
            text="A message, sent after the call ended ok.",
        )
    }

    def explain_quantities(self, grant: Any) -> list[str]:
        return [f"{amount(grant.get('perDomainPerHour', DEFAULT_PER_DOMAIN))} an hour to one domain"]
