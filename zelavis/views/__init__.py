"""Pages for everybody that belong to no app of their own."""
