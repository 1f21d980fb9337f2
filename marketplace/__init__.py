"""Listing, releases, audit and curation of plugins. Nothing of a plugin runs in here."""
