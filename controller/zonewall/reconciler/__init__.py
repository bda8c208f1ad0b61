"""The one owner of the world: events come in, bridges are kept as they should be."""
