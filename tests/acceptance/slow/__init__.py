"""An app with workflows for the acceptance tests."""
