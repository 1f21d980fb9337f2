"""The sandbox in the admin: the ledger, a page per plugin, tapes, and what plugins store."""

from sandbox.admin import invocations, secrets, stores, tapes

__all__ = ["invocations", "secrets", "stores", "tapes"]
