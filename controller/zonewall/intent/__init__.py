"""Policy joined with placement: who is in which zone, which identity, what is decided."""
