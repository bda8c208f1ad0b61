"""What a policy comes to for all ends and services at once: assertions and lint, by identities."""
