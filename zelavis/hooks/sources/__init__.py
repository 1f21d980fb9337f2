"""Where hooks come from: models of the host, schedules; the API is the third."""
