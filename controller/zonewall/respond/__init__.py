"""What an IDS says, and what follows from it: pure, so that a forged or foolish alert can be tried out."""
