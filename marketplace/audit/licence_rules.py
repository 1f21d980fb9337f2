"""Rules over the licence (hostile row F07)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marketplace.audit.base import ERROR, NOTICE, WARNING, Family, Found, Rule, Subject
from marketplace.manifest import NAME

FORM = Rule(
    id="licence.form",
    severity=ERROR,
    text="The licence is not an SPDX expression.",
    example='`"license": "free for everybody"`',
    advice="Write an SPDX identifier, or several joined by OR, AND and WITH.",
)
UNKNOWN = Rule(
    id="licence.unknown",
    severity=WARNING,
    text="The licence is not among the usual open ones.",
    example='`"license": "LicenseRef-Mine"`',
    advice="A curator reads it; put its text into the bundle as LICENSE.",
)
NO_FILE = Rule(
    id="licence.no-file",
    severity=NOTICE,
    text="The bundle has no LICENSE at its top.",
    example="a bundle without LICENSE",
    advice="Add the text of the licence as LICENSE.",
)
#: Identifiers of the SPDX list that are usual for code.
KNOWN = frozenset(
    "0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-2.0 BSD-1-Clause BSD-2-Clause "  # noqa: SIM905  a table
    "BSD-2-Clause-Patent BSD-3-Clause BSD-3-Clause-Clear BSL-1.0 BlueOak-1.0.0 CC-BY-4.0 CC-BY-SA-4.0 CC0-1.0 "
    "CDDL-1.0 CDDL-1.1 CECILL-2.1 CECILL-B CECILL-C ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 GPL-2.0-only "
    "GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later HPND ISC LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only "
    "LGPL-3.0-or-later MIT MIT-0 MPL-1.1 MPL-2.0 MS-PL MulanPSL-2.0 NCSA OFL-1.1 OSL-3.0 PHP-3.01 PSF-2.0 "
    "PostgreSQL Python-2.0 Ruby UPL-1.0 Unlicense Vim W3C WTFPL X11 ZPL-2.1 Zlib".split()
)
_EXCEPTIONS = frozenset(
    ("Classpath-exception-2.0", "GCC-exception-3.1", "LLVM-exception", "OpenSSL-exception", "Autoconf-exception-3.0")
)
_WORD = re.compile(r"\(|\)|[A-Za-z0-9.+-]+")


def check(subject: Subject) -> Iterator[Found]:
    """Apply the rules."""
    expression = str(subject.manifest.data["license"])
    words = _WORD.findall(expression)
    if "".join(words) != re.sub(r" ", "", expression) or not _reads(words):
        yield Found(rule=FORM, message=f"{expression!a} is not an SPDX expression.", place=NAME)
        return
    unknown = [
        word
        for word in words
        if word not in ("(", ")", "AND", "OR", "WITH") and word.rstrip("+") not in KNOWN | _EXCEPTIONS
    ]
    for word in unknown:
        yield Found(rule=UNKNOWN, message=f"{word} is not a usual licence.", place=NAME)
    if subject.find("license", "licence", "copying") is None:
        yield Found(rule=NO_FILE, message="There is no LICENSE.")


def _reads(words: list[str]) -> bool:
    """Whether identifiers and operators alternate and brackets match."""
    depth, wants_name = 0, True
    for word in words:
        if word == "(":
            if not wants_name:
                return False
            depth += 1
        elif word == ")":
            depth -= 1
            if wants_name or depth < 0:
                return False
        elif word in ("AND", "OR", "WITH"):
            if wants_name:
                return False
            wants_name = True
        else:
            if not wants_name:
                return False
            wants_name = False
    return depth == 0 and not wants_name


FAMILY = Family(name="licence", text="The licence.", rules=(FORM, UNKNOWN, NO_FILE), check=check)
