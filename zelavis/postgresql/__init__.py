"""Database backend ``zelavis.postgresql``: Django's, with a health check that needs no round trip."""
