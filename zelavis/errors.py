"""Errors that reach a user. A class is one code; its docstring is the default message.

The code is the ``error`` member of every answer, the last word of the problem's ``type`` and a heading in
``docs/reference/errors.md``. Codes are never reused for another meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ZelavisError(Exception):
    """Something went wrong."""

    #: Stable, documented, snake_case.
    code: ClassVar[str] = "internal_error"
    #: HTTP status of the answer.
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, **members: Any) -> None:
        """``members`` are added to the answer as they are (camelCase names)."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.members = members
        super().__init__(self.message)


class InvalidRequest(ZelavisError):
    """The request has a value that cannot be used."""

    code = "invalid_request"
    status = 400


class InvalidJson(ZelavisError):
    """The request body is not valid JSON."""

    code = "invalid_json"
    status = 400


class InvalidBody(ZelavisError):
    """The request body is not what this route takes."""

    code = "invalid_body"
    status = 400


class Unauthorized(ZelavisError):
    """This request needs a token: Authorization: Bearer …"""

    code = "unauthorized"
    status = 401


class Forbidden(ZelavisError):
    """The token does not carry the scope that this request needs."""

    code = "forbidden"
    status = 403


class NotFound(ZelavisError):
    """There is nothing here under this name."""

    code = "not_found"
    status = 404


class RouteNotFound(ZelavisError):
    """There is no such route."""

    code = "route_not_found"
    status = 404


class MethodNotAllowed(ZelavisError):
    """This route does not take that method."""

    code = "method_not_allowed"
    status = 405


class Conflict(ZelavisError):
    """The state changed meanwhile; read it again and decide anew."""

    code = "conflict"
    status = 409


class PreconditionFailed(ZelavisError):
    """The If-Match header names an older state than the present one."""

    code = "precondition_failed"
    status = 412


class PayloadTooLarge(ZelavisError):
    """The request body is larger than this route takes."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(ZelavisError):
    """This route takes application/json."""

    code = "unsupported_media_type"
    status = 415


class IdempotencyMismatch(ZelavisError):
    """This Idempotency-Key was used before with another body."""

    code = "idempotency_mismatch"
    status = 422


class TooManyRequests(ZelavisError):
    """Too many requests; try again after the time in Retry-After."""

    code = "too_many_requests"
    status = 429


class Unavailable(ZelavisError):
    """A part that this request needs is not available now."""

    code = "unavailable"
    status = 503


# --- registry ----------------------------------------------------------------------------------------------------


class UnknownPlugin(NotFound):
    """There is no plugin of this name in the registry."""

    code = "unknown_plugin"


class PluginExists(Conflict):
    """A plugin of this name is already in the registry."""

    code = "plugin_exists"


class RegistryContended(Conflict):
    """The registry changed during all 8 attempts to change it; try again."""

    code = "registry_contended"


class RegistryMalformed(ZelavisError):
    """The stored registry cannot be understood, so nothing of it is run."""

    code = "registry_malformed"
    status = 500


class PluginInstalled(Conflict):
    """The plugin is installed; uninstall it first."""

    code = "plugin_installed"


class PluginNotInstalled(Conflict):
    """The plugin is not installed."""

    code = "plugin_not_installed"


class PluginBlocked(Conflict):
    """The plugin is blocked and cannot be activated."""

    code = "plugin_blocked"


class InvalidSettings(ZelavisError):
    """The settings are not valid under the plugin's settings schema."""

    code = "invalid_settings"
    status = 422


class SettingsRequired(Conflict):
    """This version requires settings that have no value; repeat the request with them."""

    code = "settings_required"


# --- activation --------------------------------------------------------------------------------------------------


class ActivationInProgress(Conflict):
    """Another activation of this plugin is at work; wait for it or look at it."""

    code = "activation_in_progress"


class ConsentRequired(Conflict):
    """This version asks for capabilities that were not consented to; repeat the request with this consent."""

    code = "consent_required"


class ConsentOutdated(Conflict):
    """The consent given is for other capabilities than this version asks for."""

    code = "consent_outdated"


class NothingToUpdate(Conflict):
    """This version is the one that serves."""

    code = "nothing_to_update"


class NothingToRollBack(Conflict):
    """There is no earlier version to go back to."""

    code = "nothing_to_roll_back"


class NotRetryable(Conflict):
    """Only the newest failed activation of a plugin can be tried again."""

    code = "not_retryable"


class ActivationFailed(ZelavisError):
    """The activation failed; its timeline says where and why."""

    code = "activation_failed"
    status = 422


class UnknownAdapter(ZelavisError):
    """There is no adapter of this name."""

    code = "unknown_adapter"
    status = 422


class AdapterNotConfigured(ZelavisError):
    """This adapter lacks a part of its configuration."""

    code = "adapter_not_configured"
    status = 409


# --- workers -----------------------------------------------------------------------------------------------------


class WorkerNotFound(NotFound):
    """There is no such plugin worker in the dispatch namespace."""

    code = "worker_not_found"


# --- hooks and routes --------------------------------------------------------------------------------------------


class UnknownHook(NotFound):
    """There is no hook of this name in the catalogue."""

    code = "unknown_hook"


class HookNotFireable(ZelavisError):
    """This hook is fired by the platform alone."""

    code = "hook_not_fireable"
    status = 400


class InvalidEvent(ZelavisError):
    """The event does not fit the hook's schema."""

    code = "invalid_event"
    status = 400


class HookRejected(ZelavisError):
    """A plugin rejected this."""

    code = "hook_rejected"
    status = 422


class HookInTransaction(Conflict):
    """Plugins listen before this change, and they cannot be asked inside a database transaction."""

    code = "hook_in_transaction"


class HookLoop(Conflict):
    """This event came from a chain of plugins that set each other off, and the chain is cut here."""

    code = "hook_loop"


class PluginRouteNotFound(NotFound):
    """The plugin has no such route."""

    code = "plugin_route_not_found"


class PluginFailed(ZelavisError):
    """The plugin failed to answer."""

    code = "plugin_failed"
    status = 502


class PluginResting(ZelavisError):
    """The plugin failed repeatedly and is let rest."""

    code = "plugin_resting"
    status = 503
