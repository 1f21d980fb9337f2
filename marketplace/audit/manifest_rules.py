"""Rules over the manifest, beyond its schema."""

from __future__ import annotations

from collections.abc import Iterator

from marketplace import capabilities
from marketplace.audit.base import ERROR, NOTICE, WARNING, Family, Found, Rule, Subject
from marketplace.manifest import NAME

ENTRY_MISSING = Rule(
    id="manifest.entry-missing",
    severity=ERROR,
    text="The file that `entry` names is not in the bundle.",
    example='`"entry": "plugin.mjs"` in a bundle that holds `dist/plugin.mjs`',
    advice="Put the file into the bundle or correct `entry`.",
)
HOOK_UNKNOWN = Rule(
    id="manifest.hook-unknown",
    severity=ERROR,
    text="The hook catalogue has no hook of this name.",
    example='`{"name": "content:aftersave"}`',
    advice="Look the name up in the hook catalogue; upper and lower case count.",
)
ORDER_EXTREME = Rule(
    id="manifest.order-extreme",
    severity=WARNING,
    text="The order puts the plugin before or after nearly every other.",
    example='`{"name": "content:beforeSave", "order": -1000}`',
    advice="Use an order from -500 to 500, or say in the README why it must come first or last.",
)
HOST_WILDCARD = Rule(
    id="manifest.wildcard",
    severity=WARNING,
    text="A capability names its targets by a wildcard.",
    example='`"hosts": ["*.example.com"]`',
    advice="Name each host.",
)
HIGH_RISK = Rule(
    id="manifest.high-risk",
    severity=NOTICE,
    text="A capability is of high risk; two people must approve the release.",
    example='`"users:read": {…}`',
    advice="Ask for it only where nothing less will do.",
)
PUBLIC_ROUTE = Rule(
    id="manifest.public-route",
    severity=NOTICE,
    text="A route answers without a token.",
    example='`{"path": "/hook", "methods": ["POST"], "public": true}`',
    advice="Leave `public` out unless strangers must reach the route.",
)
REASON_EMPTY = Rule(
    id="manifest.reason-vague",
    severity=WARNING,
    text="A capability's reason says next to nothing.",
    example='`"reason": "needed"`',
    advice="Say what the plugin does with it, in words for the person who installs it.",
)
NOTHING_TO_DO = Rule(
    id="manifest.nothing-to-do",
    severity=WARNING,
    text="The plugin declares neither hooks nor routes nor schedules nor workflows, so it never runs.",
    example='`"hooks": []` and nothing else',
    advice="Declare what it answers.",
)
_SHORTEST_REASON = 10
_FAR = 500


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    data = subject.manifest.data
    if subject.manifest.entry not in subject.bundle.files:
        yield Found(rule=ENTRY_MISSING, message=f"{subject.manifest.entry} is not in the bundle.", place=NAME)
    for hook in data.get("hooks", []):
        if subject.hooks and hook["name"] not in subject.hooks:
            yield Found(rule=HOOK_UNKNOWN, message=f"There is no hook {hook['name']}.", place=NAME)
        if abs(hook.get("order", 100)) > _FAR:
            yield Found(rule=ORDER_EXTREME, message=f"{hook['name']} has the order {hook['order']}.", place=NAME)
    for name, asked in data.get("capabilities", {}).items():
        for quantity, value in asked.items():
            if isinstance(value, list) and any(isinstance(item, str) and "*" in item for item in value):
                yield Found(rule=HOST_WILDCARD, message=f"{name}.{quantity} holds a wildcard.", place=NAME)
        if capabilities.risk(name, asked) == "high":
            yield Found(rule=HIGH_RISK, message=f"{name} is of high risk.", place=NAME)
        if len(asked["reason"].strip()) < _SHORTEST_REASON:
            yield Found(rule=REASON_EMPTY, message=f"The reason for {name} is {asked['reason']!r}.", place=NAME)
    for route in data.get("routes", []):
        if route.get("public"):
            yield Found(rule=PUBLIC_ROUTE, message=f"{route['path']} is open to everybody.", place=NAME)
    if not any(data.get(group) for group in ("hooks", "routes", "schedules", "workflows")):
        yield Found(rule=NOTHING_TO_DO, message="Nothing would ever call this plugin.", place=NAME)


FAMILY = Family(
    name="manifest",
    text="What the manifest means, beyond its schema.",
    rules=(
        ENTRY_MISSING,
        HOOK_UNKNOWN,
        ORDER_EXTREME,
        HOST_WILDCARD,
        HIGH_RISK,
        PUBLIC_ROUTE,
        REASON_EMPTY,
        NOTHING_TO_DO,
    ),
    check=check,
)
