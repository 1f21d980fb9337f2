"""The catalogue as pages, for everybody. Rendered on the server; no script is needed."""
