"""The hosts' databases: what ports are there, and how the bridges are set up."""
