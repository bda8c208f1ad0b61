"""Leaf types: names, addresses, services, packets. Imports nothing of zonewall's but errors."""
