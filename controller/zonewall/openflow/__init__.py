"""Sessions with bridges: listener, one session a bridge, messages in and out."""
