"""What happened, in order, each record carrying the hash of the one before; pure, whatever keeps it."""
