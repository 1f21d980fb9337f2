"""What a plugin may ask of its host: one capability a file, checked and counted at every host call."""
