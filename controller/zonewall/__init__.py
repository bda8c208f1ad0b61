"""zonewall: a virtual firewall for Open vSwitch."""
