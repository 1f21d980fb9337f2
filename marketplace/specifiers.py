"""Fetching a bundle from where its author keeps it: once, bounded, at a vetted address, and never again by reference.

The same way out as a plugin's ``http`` capability (hostile rows E): one resolution, every address public, the
connection pinned to it, no redirect, no proxy, no cookie.
"""

from __future__ import annotations

import time

from django.conf import settings

from marketplace import bundles
from marketplace.errors import SpecifierRefused
from sandbox.capabilities import egress, hosts
from sandbox.capabilities.faults import Fault, Refused

SECONDS = 20.0


def fetch(url: str, *, digest: str = "") -> bytes:
    """The bytes behind a specifier.

    Args:
        digest: SHA-256 that they must have; empty: whatever they are.

    Raises:
        SpecifierRefused: not https, a private address, an answer that is no bundle, or other bytes.
    """
    try:
        target = hosts.read(url)
        local = f"{target.host}:{target.port}" in settings.SANDBOX_LOOPBACK_HOSTS
        if target.scheme != "https" and not local:
            raise SpecifierRefused("A specifier is an https URL.", rule="specifier_scheme")
        answer = egress.send(
            target,
            method="GET",
            headers=[("User-Agent", "zelavis-marketplace"), ("Accept", "application/zip, application/gzip")],
            body=b"",
            deadline=time.monotonic() + SECONDS,
            most_bytes=bundles.MAX_BUNDLE,
        )
    except (Refused, Fault) as error:
        raise SpecifierRefused(f"{error}", rule=f"specifier_{getattr(error, 'code', 'failed')}") from None
    if answer.status != 200:
        raise SpecifierRefused(
            f"{target.host} answered {answer.status}; a specifier leads to the bundle itself, without a redirect.",
            rule="specifier_status",
        )
    if digest and bundles.digest_of(answer.body) != digest:
        raise SpecifierRefused("The bytes fetched do not have the digest that was given.", rule="specifier_digest")
    return answer.body
