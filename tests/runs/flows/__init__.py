"""An app with workflows for tests that start a server. What really ran is written to ``ZELAVIS_FLOWS_LOG``."""
