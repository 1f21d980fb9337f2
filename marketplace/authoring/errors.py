"""What can go wrong for an author, in one line each. Exit codes are in ``docs/reference/author-commands.md``."""

from __future__ import annotations


class AuthorError(Exception):
    """Something about the plugin or its place is wrong; the message says what to do. Exit code 2."""
