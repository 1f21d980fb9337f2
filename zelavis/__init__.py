"""Zelavis: a curated plugin marketplace, a plugin registry with activation through adapters, and durable runs."""

__version__ = "0.1.0"
