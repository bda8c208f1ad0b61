"""What a running controller answers to the command line."""
