"""The hosts' databases: what ports are there, and how the bridges are set up."""

from zonewall.lean import import_without

# python-ovs imports eventlet where it is installed (os-ken needs it), which takes as long as all the rest of
# the start, and asks it only whether it has replaced select(2), which is not done here.
import_without("ovs.poller", "eventlet")
