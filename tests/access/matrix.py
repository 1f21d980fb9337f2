"""Who may do what. One line a page, a verb, an action and a route; what has no line here fails the test.

People: ``anonymous`` has not signed in, ``plain`` may sign in and has no role; ``viewer``, ``curator`` and ``operator``
have the role of that name, ``root`` is a superuser. A page answers 302 (to the login) to anonymous, 403 to those who
may not, and something else to those who may.
"""

from __future__ import annotations

ROLES = ("anonymous", "plain", "viewer", "curator", "operator", "root")

EVERYBODY = frozenset(ROLES)
STAFF = EVERYBODY - {"anonymous"}
SEE = STAFF - {"plain"}
OPERATE = frozenset({"operator", "root"})
CURATE = frozenset({"curator", "root"})
ROOT = frozenset({"root"})
NOBODY: frozenset[str] = frozenset()

#: Rows in the admin: who sees list, page and history; who adds; who changes; who deletes.
MODELS = {
    "auth.group": (ROOT, ROOT, ROOT, ROOT),
    "auth.user": (ROOT, ROOT, ROOT, ROOT),
    "django_celery_beat.periodictask": (ROOT, NOBODY, NOBODY, NOBODY),
    "flatpages.flatpage": (OPERATE, OPERATE, OPERATE, ROOT),
    "marketplace.feedentry": (SEE, NOBODY, NOBODY, NOBODY),
    "marketplace.feedsource": (SEE, ROOT, ROOT, ROOT),
    "marketplace.plugin": (SEE, NOBODY, NOBODY, NOBODY),
    "marketplace.publisher": (SEE, NOBODY, NOBODY, NOBODY),
    "marketplace.rating": (SEE, NOBODY, NOBODY, NOBODY),
    "marketplace.release": (SEE, NOBODY, NOBODY, NOBODY),
    "marketplace.rollout": (SEE, NOBODY, NOBODY, NOBODY),
    "marketplace.updatepolicy": (SEE, ROOT, ROOT, ROOT),
    "runs.dispatcher": (SEE, OPERATE, OPERATE, OPERATE),
    "runs.eventreceipt": (SEE, NOBODY, NOBODY, NOBODY),
    "runs.manifest": (SEE, NOBODY, NOBODY, NOBODY),
    "runs.run": (SEE, NOBODY, NOBODY, NOBODY),
    "runs.schedule": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.invocation": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.pluginblob": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.plugindocument": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.pluginmail": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.pluginmeter": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.pluginobject": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.pluginsecret": (SEE, OPERATE, OPERATE, OPERATE),
    "sandbox.pluginusage": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.pluginvalue": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.pluginwake": (SEE, NOBODY, NOBODY, NOBODY),
    "sandbox.tape": (SEE, NOBODY, NOBODY, NOBODY),
    "sites.site": (ROOT, ROOT, ROOT, ROOT),
    "zelavis.activation": (SEE, NOBODY, NOBODY, NOBODY),
    "zelavis.apitoken": (ROOT, ROOT, NOBODY, NOBODY),
    "zelavis.auditevent": (SEE, NOBODY, NOBODY, NOBODY),
    "zelavis.circuitbreaker": (SEE, NOBODY, NOBODY, NOBODY),
    "zelavis.dispatchnamespace": (SEE, OPERATE, OPERATE, OPERATE),
    "zelavis.dispatchworker": (SEE, OPERATE, OPERATE, OPERATE),
    "zelavis.hookevent": (SEE, NOBODY, NOBODY, NOBODY),
    "zelavis.hostedplugin": (SEE, NOBODY, NOBODY, NOBODY),
    "zelavis.pluginentry": (SEE, NOBODY, NOBODY, NOBODY),
    "zelavis.schedule": (SEE, NOBODY, NOBODY, NOBODY),
}
#: A page of a single row that fewer people see than its list.
NARROWER = {"sandbox_tape_change": OPERATE, "sandbox_tape_history": OPERATE}

#: What a list offers to do with the rows that were chosen.
ACTIONS = {
    "marketplace.release": {"do_claim": CURATE, "do_reject": CURATE, "do_quarantine": CURATE},
    "marketplace.rollout": {"cancel": ROOT},
    "runs.run": dict.fromkeys(("do_cancel", "do_pause", "do_unpause", "do_resume"), OPERATE),
    "runs.schedule": dict.fromkeys(("pause", "go_on", "fire_now"), OPERATE),
    "zelavis.apitoken": {"revoke": ROOT},
    "zelavis.circuitbreaker": {"reset": OPERATE},
    "django_celery_beat.periodictask": {"pause": ROOT, "go_on": ROOT},
    # Django's own, where rows may be deleted at all.
    "auth.group": {"delete_selected": ROOT},
    "auth.user": {"delete_selected": ROOT},
    "flatpages.flatpage": {"delete_selected": ROOT},
    "marketplace.feedsource": {"delete_selected": ROOT},
    "marketplace.updatepolicy": {"delete_selected": ROOT},
    "runs.dispatcher": {"delete_selected": OPERATE},
    "sandbox.pluginsecret": {"delete_selected": OPERATE},
    "sites.site": {"delete_selected": ROOT},
    "zelavis.dispatchnamespace": {"delete_selected": OPERATE},
    "zelavis.dispatchworker": {"delete_selected": OPERATE, "settle": OPERATE},
}

#: Every other page of the admin: who may GET, who may POST.
PAGES = {
    "index": (STAFF, NOBODY),
    "app_list": (SEE, NOBODY),
    "password_change": (STAFF, STAFF),
    "password_change_done": (STAFF, NOBODY),
    "auth_user_password_change": (ROOT, ROOT),
    "marketplace_feedsource_import": (OPERATE, OPERATE),
    "marketplace_rating_verb": (CURATE, CURATE),
    "marketplace_release_queue": (SEE, NOBODY),
    "marketplace_release_file": (SEE, NOBODY),
    "marketplace_release_bulk": (CURATE, CURATE),
    "marketplace_release_verb": (CURATE, CURATE),
    "marketplace_plugin_verb": (CURATE, CURATE),
    "marketplace_publisher_verb": (CURATE, CURATE),
    "runs_run_log": (SEE, NOBODY),
    "runs_run_stream": (SEE, NOBODY),
    "runs_run_waiting": (SEE, NOBODY),
    "runs_run_dead": (SEE, OPERATE),
    "runs_run_verb": (NOBODY, OPERATE),
    "runs_run_resolve": (NOBODY, OPERATE),
    "sandbox_invocation_plugin": (SEE, NOBODY),
    "sandbox_tape_replay": (NOBODY, OPERATE),
    "zelavis_activation_retry": (NOBODY, OPERATE),
    "zelavis_adapters": (SEE, NOBODY),
    "zelavis_hookevent_catalogue": (SEE, NOBODY),
    "zelavis_pluginentry_install": (OPERATE, OPERATE),
    "zelavis_pluginentry_update": (OPERATE, OPERATE),
    "zelavis_pluginentry_rollback": (OPERATE, OPERATE),
    "zelavis_pluginentry_uninstall": (OPERATE, OPERATE),
    "zelavis_pluginentry_settings": (OPERATE, OPERATE),
    "zelavis_pluginentry_promote": (OPERATE, OPERATE),
    "zelavis_pluginentry_block": (OPERATE, OPERATE),
    "zelavis_pluginentry_unblock": (OPERATE, OPERATE),
}
#: Of Django's own: open to whoever is there, or a redirect to a page that stands above.
OPEN = frozenset({"login", "logout", "jsi18n", "autocomplete", "view_on_site"})

#: Routes outside the admin: the scope of each method; ``public`` needs no token.
ROUTES = {
    "activation": {"GET": "plugins:read"},
    "activation-retry": {"POST": "plugins:write"},
    "activations": {"GET": "plugins:read"},
    "adapters": {"GET": "plugins:read"},
    "breakers": {"GET": "plugins:read"},
    "hook": {"GET": "hooks:read", "POST": "hooks:fire"},
    "hook-events": {"GET": "hooks:read"},
    "hooks": {"GET": "hooks:read"},
    "invocation": {"GET": "plugins:read"},
    "invocations": {"GET": "plugins:read"},
    "events": {"POST": "runs:write"},
    "manifests": {"POST": "manifests:write"},
    "manifest": {"GET": "runs:read"},
    "schedules": {"GET": "runs:read"},
    "marketplace-allowlist": {"GET": "public"},
    "marketplace-bundle": {"GET": "public"},
    "marketplace-feed": {"GET": "public"},
    "marketplace-finish": {"POST": "marketplace:publish"},
    "marketplace-installs": {"POST": "plugins:write"},
    "marketplace-key": {"GET": "public"},
    "marketplace-keys": {"POST": "marketplace:publish"},
    "marketplace-member": {"DELETE": "marketplace:publish"},
    "marketplace-members": {"POST": "marketplace:publish"},
    "marketplace-own-verb": {"POST": "marketplace:publish"},
    "marketplace-plugin": {"GET": "public"},
    "marketplace-plugin-verb": {"POST": "marketplace:review"},
    "marketplace-plugins": {"GET": "public"},
    "marketplace-publisher": {"GET": "public"},
    "marketplace-publisher-key": {"DELETE": "marketplace:publish"},
    "marketplace-publisher-state": {"POST": "marketplace:review"},
    "marketplace-publishers": {"GET": "marketplace:publish", "POST": "marketplace:publish"},
    "marketplace-queue": {"GET": "marketplace:review"},
    "marketplace-rating-verb": {"POST": "marketplace:review"},
    "marketplace-ratings": {"GET": "public", "POST": "plugins:write"},
    "marketplace-release": {"GET": "public"},
    "marketplace-releases": {"GET": "public", "POST": "marketplace:publish"},
    "marketplace-review": {"GET": "marketplace:review"},
    "marketplace-rules": {"GET": "public"},
    "marketplace-schema": {"GET": "public"},
    "marketplace-token": {"DELETE": "marketplace:publish"},
    "marketplace-tokens": {"POST": "marketplace:publish"},
    "marketplace-transfer": {"POST": "marketplace:publish", "DELETE": "marketplace:publish"},
    "marketplace-transfer-accept": {"POST": "marketplace:publish"},
    "marketplace-upload": {"GET": "marketplace:publish", "PATCH": "marketplace:publish"},
    "marketplace-uploads": {"POST": "marketplace:publish"},
    "marketplace-verb": {"POST": "marketplace:review"},
    "metrics": {"GET": "metrics:read"},
    "namespace": {"GET": "workers:read", "DELETE": "workers:write"},
    "namespaces": {"GET": "workers:read", "POST": "workers:write"},
    "worker": {"GET": "workers:read", "PATCH": "workers:write", "DELETE": "workers:write"},
    "worker-rotation": {"POST": "workers:write", "DELETE": "workers:write"},
    "workers": {"GET": "workers:read", "POST": "workers:write"},
    "plugin": {"GET": "plugins:read", "PATCH": "plugins:write", "DELETE": "plugins:write"},
    "plugin-activate": {"POST": "plugins:write"},
    "plugin-block": {"POST": "plugins:write"},
    "plugin-promote": {"POST": "plugins:write"},
    "plugin-unblock": {"POST": "plugins:write"},
    "plugin-activations": {"GET": "plugins:read"},
    "plugin-breaker": {"GET": "plugins:read", "DELETE": "plugins:write"},
    "plugin-install": {"POST": "plugins:write"},
    "plugin-rollback": {"POST": "plugins:write"},
    "plugin-uninstall": {"POST": "plugins:write"},
    "plugin-update": {"POST": "plugins:write"},
    "plugins": {"GET": "plugins:read", "POST": "plugins:write"},
    "run": {"GET": "runs:read"},
    "run-cancel": {"POST": "runs:write"},
    "run-events": {"GET": "runs:read", "POST": "runs:write"},
    "run-journal": {"GET": "runs:read"},
    "run-links": {"GET": "runs:write"},
    "run-pause": {"POST": "runs:write"},
    "run-receipts": {"GET": "runs:read"},
    "run-resume": {"POST": "runs:write"},
    "run-signals": {"GET": "runs:read", "POST": "runs:write"},
    "run-stream": {"GET": "runs:read"},
    "run-timeline": {"GET": "runs:read"},
    "run-token": {"POST": "runs:write"},
    # Nothing is there; whoever asks by which method is told so.
    "run-unknown": {"GET": "runs:read", "POST": "runs:write", **dict.fromkeys(("PUT", "PATCH", "DELETE"), "runs:read")},
    # No route at all: nothing to guard, and nothing to find.
    "run-nowhere": {},
    "run-unpause": {"POST": "runs:write"},
    "run-wake": {"POST": "runs:write"},
    "run-why": {"GET": "runs:read"},
    "runs": {"GET": "runs:read", "POST": "runs:write"},
    "runs-bulk": {"POST": "runs:write"},
    "runs-stream": {"GET": "runs:read"},
    "schema": {"GET": "public"},
    "updates": {"GET": "plugins:read"},
}
#: Pages for everybody, and what a credential of its own opens: a signed link, a worker's signature, a plugin's route.
PUBLIC_PAGES = frozenset(
    {
        *("catalogue", "catalogue-atom", "catalogue-icon", "catalogue-plugin", "catalogue-publisher"),
        *(
            "catalogue-release",
            "healthz",
            "readyz",
            "run-question",
            "root",
            "problem",
            "problems",
            "plugin-root",
            "plugin-route",
            "receiver-activate",
        ),
    }
)
