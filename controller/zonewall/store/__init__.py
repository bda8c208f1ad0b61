"""What is on disk: the configuration directory and the controller's own state."""
