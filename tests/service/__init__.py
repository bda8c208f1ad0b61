"""Beyond allow and drop: reject, limits, mirrors, chains, logs, an IDS; real bridges and packets; as root."""
