"""Records to where others collect them: lines of JSON, syslog."""
