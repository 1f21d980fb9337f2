"""What starts runs by itself: manifests with event filters and schedules."""
