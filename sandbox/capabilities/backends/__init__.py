"""Where capabilities keep what plugins store: the database, or the memory of one process."""
