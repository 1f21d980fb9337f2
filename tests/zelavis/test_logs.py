"""Log lines."""

from __future__ import annotations

import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from zelavis.logs import JSONFormatter, RequestIdFilter, TextFormatter, request_id


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("zelavis.tests").makeRecord(
        "zelavis.tests", logging.INFO, "f", 1, message, (), None, extra=extra
    )
    RequestIdFilter().filter(made)
    return made


@given(st.text(), st.text())
def test_nothing_in_a_message_can_forge_a_line(message: str, value: str) -> None:
    """Whatever a message or a value holds, text stays one printable line and JSON stays one object."""
    made = record(message, value=value)
    text = TextFormatter().format(made)
    assert text.isprintable()
    line = JSONFormatter().format(made)
    assert "\n" not in line
    assert json.loads(line)["message"] == message


def test_a_line_names_its_request() -> None:
    """The id of the request being worked on stands in every line, in both forms."""
    token = request_id.set("req_1")
    try:
        made = record("hello")
    finally:
        request_id.reset(token)
    assert " req_1 " in TextFormatter().format(made)
    assert json.loads(JSONFormatter().format(made))["requestId"] == "req_1"
