"""The questions about one detail of a clip: how its background changes, which objects are in it."""
