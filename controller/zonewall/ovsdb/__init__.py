"""The hosts' databases: what ports are there, and how the bridges are set up."""

import warnings

# python-ovs imports eventlet where it is installed (os-ken needs it) and uses none of it here.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
