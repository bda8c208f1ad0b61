"""Cases that others wrote, translated into configurations: what must come out is theirs."""
