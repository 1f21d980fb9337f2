"""The tenant of the chaos suite: it writes down for itself what it did."""
