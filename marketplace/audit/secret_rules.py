"""Rules over credentials that were packed by mistake (hostile row F12). What is found is never repeated in full."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marketplace.audit.base import ERROR, MOST_OF_A_RULE, Family, Found, Rule, Subject, line_of

KEY = Rule(
    id="secrets.key",
    severity=ERROR,
    text="A file holds something in the form of a private key, token or password of a known service.",
    example="`-----BEGIN PRIVATE KEY-----`, `ghp_…`, `AKIA…`, `zlv_…`",
    advice="Remove it from the bundle and revoke it: whoever has the bundle has it.",
)
FILE = Rule(
    id="secrets.file",
    severity=ERROR,
    text="The bundle holds a file that is made to keep credentials.",
    example="`.env`, `id_ed25519`, `.npmrc`",
    advice="Leave it out; settings of a plugin belong in its settings schema, secrets in the capability `secrets`.",
)
_PATTERNS = {
    "a private key": r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----",
    "an AWS access key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,90})\b",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20}\b",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a PyPI token": r"\bpypi-[A-Za-z0-9_-]{50,200}\b",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,80}\b",
    "a Stripe key": r"\b(?:sk|rk)_live_[A-Za-z0-9]{20,60}\b",
    "a Google API key": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "a Zelavis token": r"\bzlv_[a-z0-9]{8}_[A-Za-z0-9_-]{32}\b",
    "a webhook secret": r"\bwhsec_[A-Za-z0-9+/]{32,80}={0,2}",
    "a password in a URL": r"\b[a-z][a-z0-9+]{1,15}://[^\s/:@]{1,60}:(?!\*+@|<|\$|\{|password@|pass@|secret@)[^\s/:@]{6,80}@",
}
_FIND = re.compile("|".join(f"(?P<p{index}>{pattern})" for index, pattern in enumerate(_PATTERNS.values())))
_NAMES = list(_PATTERNS)
_FILES = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example|sample)[^/]*)?|\.npmrc|\.pypirc|\.netrc|\.htpasswd|id_(?:rsa|dsa|ecdsa|ed25519)"
    r"|[^/]*\.(?:pem|key|p12|pfx|keystore|jks)|credentials(?:\.json)?|service[-_]account[^/]*\.json)$",
    re.IGNORECASE,
)


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    for name, content in subject.bundle.files.items():
        if _FILES.search(name):
            yield Found(rule=FILE, message=f"{name} is made to keep credentials.", place=name)
        # Latin-1 reads any bytes, so that a key inside a module's data is found as well.
        text = content.decode("latin-1")
        for count, match in enumerate(_FIND.finditer(text)):
            if count == MOST_OF_A_RULE:
                break
            what = _NAMES[int(str(match.lastgroup)[1:])]
            yield Found(
                rule=KEY,
                message=f"Looks like {what}: {match[0][:4]}… ({len(match[0])} characters).",
                place=f"{name}:{line_of(text, match.start())}",
            )


FAMILY = Family(name="secrets", text="Credentials that were packed by mistake.", rules=(KEY, FILE), check=check)
