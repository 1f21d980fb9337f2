"""The standard activation request, and everything else an adapter is told of an attempt."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Literal

from marketplace.models import Release
from zelavis import carry
from zelavis.activation.timeline import note
from zelavis.adapters.base import DeployRefused, Order
from zelavis.models import Activation, Deployment, PluginEntry

_WIRE: dict[str, Literal["register", "install", "uninstall", "update"]] = {
    Activation.Action.REGISTER: "register",
    Activation.Action.INSTALL: "install",
    Activation.Action.UPDATE: "update",
    Activation.Action.ROLLBACK: "update",
    Activation.Action.UNINSTALL: "uninstall",
}


def registry_view(entry: PluginEntry, specifier: str) -> list[dict[str, Any]]:
    """The registry as the plugin's own worker may see it: its entry, with the seed's members."""
    view: dict[str, Any] = {"name": entry.name}
    if specifier:
        view["specifier"] = specifier
    view["status"] = entry.status
    view["source"] = entry.source
    if entry.order is not None:
        view["order"] = entry.order
    return [view]


def build(activation: Activation) -> Order:
    """The order of one attempt."""
    entry = activation.entry
    if entry is None:
        raise DeployRefused("The plugin was removed from the registry.")
    deployment = activation.deployment
    specifier = deployment.specifier if deployment else entry.specifier
    return Order(
        activation=activation.pk,
        root=activation.retry_of_id or activation.pk,
        created_ms=int((activation.retry_of or activation).created_at.timestamp() * 1000),
        action=_WIRE[activation.action],
        name=entry.name,
        version=deployment.version if deployment else "",
        previous_version=activation.before.version if activation.before else "",
        specifier=specifier,
        registry=registry_view(entry, specifier),
        digest=deployment.digest if deployment else "",
        entry_digest=deployment.entry_digest if deployment else "",
        kind=deployment.kind if deployment else "",
        manifest=json.loads(deployment.manifest) if deployment else {},
        grants=json.loads(deployment.grants) if deployment else {},
        settings=_settings(activation, entry),
        worker=(deployment.worker if deployment else None) or entry.worker,
        first=activation.action == Activation.Action.INSTALL and activation.before_id is None,
        purge=activation.purge,
        source=partial(_source, deployment) if deployment is not None and deployment.release else None,
        note=partial(note, activation.pk),
    )


def _settings(activation: Activation, entry: PluginEntry) -> dict[str, Any]:
    """The settings as the version of this attempt takes them."""
    if activation.deployment is None or activation.deployment_id == entry.serving_id:
        found: dict[str, Any] = json.loads(entry.settings)
        return found
    if activation.action == Activation.Action.UNINSTALL:
        return carry.carry(carry.schema_of(activation.deployment.manifest), json.loads(entry.settings)).values
    chosen = carry.back if activation.action == Activation.Action.ROLLBACK else carry.onward
    return chosen(entry, activation.deployment).values


def _source(deployment: Deployment) -> bytes:
    release = Release.objects.filter(pk=deployment.release).first()
    if release is None:
        raise DeployRefused("The release is gone from the marketplace.")
    from marketplace import releases

    source: bytes = releases.entry_source(release)
    return source
