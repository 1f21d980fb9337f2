"""An app for servers of tests: a marketplace whose feed is soon too old, because nobody renews it."""
