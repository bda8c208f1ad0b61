"""Networks to try zonewall on: Mininet topologies, and a lab whose hosts are as apart as real ones."""
