"""End to end: real bridges, real packets, the real controller process; as root."""
