"""This server as a plugin worker: another Zelavis deploys, activates and calls plugins here, in the sandbox."""
