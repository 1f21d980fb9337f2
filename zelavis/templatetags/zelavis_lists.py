"""What an empty list of the admin says: why it is empty, and what fills it."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()

_NOTHING = "Nothing here yet. Rows appear by themselves when there is something to show."
#: By model: what puts the first row there.
_FIRST = {
    "marketplace.feedentry": "Nothing was withdrawn here. Quarantine or yank a release, and other sites are told so.",
    "marketplace.feedsource": "No other marketplace is followed. Add a feed, and what it revokes stops here.",
    "marketplace.plugin": "Nobody has published a plugin. manage.py plugin publish sends the first.",
    "marketplace.publisher": "There is no publisher. The first is founded with manage.py plugin or through the API.",
    "marketplace.release": "Nothing was submitted. manage.py plugin publish sends a release into the curation queue.",
    "marketplace.rollout": "No update is on its way in stages. Give a plugin an update policy with stages.",
    "marketplace.updatepolicy": "Every plugin is updated by hand. Add a policy to let updates come by themselves.",
    "runs.dispatcher": "Workflows run in this server. Add a dispatcher to run those of a tenant elsewhere.",
    "runs.eventreceipt": "No event has come. POST /api/events sends one.",
    "runs.manifest": "No manifest is registered. POST /api/manifests tells of workflows, schedules and filters.",
    "runs.run": "Nothing has run. POST /api/runs with a workflowId starts the first.",
    "runs.schedule": "Nothing is scheduled. Schedules come with a manifest: POST /api/manifests.",
    "sandbox.invocation": "No plugin was called. Install one and fire a hook it listens to: save a flat page, say.",
    "sandbox.pluginsecret": "No plugin has a secret. Add one under the name that the plugin's manifest gives.",
    "sandbox.tape": "Nothing was recorded. Calls that fail are, and some of the others.",
    "zelavis.activation": "Nothing was installed. Approve a release in the curation queue, then install it there.",
    "zelavis.apitoken": "There is no token. Add one here, or with manage.py create_token.",
    "zelavis.circuitbreaker": "No plugin has failed in a row. One that does is let rest, and is listed here.",
    "zelavis.dispatchnamespace": "No plugin runs elsewhere. Add a namespace and its workers to let some do.",
    "zelavis.dispatchworker": "No worker is known. Start manage.py plugin_worker somewhere and add it here.",
    "zelavis.hookevent": "No hook was fired in the background. Save a page, and those who listen are told.",
    "zelavis.hostedplugin": "No other server has put a plugin here.",
    "zelavis.pluginentry": "Nothing is installed. Approve a release in the curation queue, then install it there.",
    "zelavis.schedule": "No plugin that serves has a schedule.",
}


@register.simple_tag
def nothing_here(changelist: Any) -> str:
    """The sentence for an empty list, or that nothing fits the filter."""
    if changelist.query or changelist.has_active_filters:
        return "Nothing fits this search or these filters."
    return _FIRST.get(changelist.model._meta.label_lower, _NOTHING)
