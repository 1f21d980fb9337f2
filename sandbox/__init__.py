"""One call, one store, dropped: plugin code runs here and nowhere else. Imports nothing of ours."""
