"""What a configuration means: one verdict for a connection's first packet, plainly and slowly.

This is the definition that the compiled flows are held against, so it shares nothing with the compiler but
the parsed documents. ``docs/semantics.md`` tells the same to operators. Where the policy language is silent:

Who an end is
    - An address is the endpoint's that has the longest prefix with it (its single addresses, its ranges), of
      those that the tenant in whose view it is read can reach. Every other address is outside.
    - An endpoint is in a ``cidrs`` zone by its single addresses; an address out of its ``ranges`` and its
      link-local address put it in none. An outside address is in a zone only through ``cidrs`` (its own, or
      those of the zones that it unites); an empty selector is every endpoint of the tenant, nobody outside.
    - ICMP is judged between IPv4 addresses, ICMPv6 between IPv6 addresses.

Which rule
    - A rule matches if one of its ``from`` peers and one of its ``to`` peers do.
    - Without a source port, a probe matches only services that ask for none.
    - ``hours`` are wall-clock minutes, the last excluded; those past midnight belong to the day on which they
      begin; an end equal to the beginning is the whole day. ``expires`` itself is already past.

Monitor mode
    - The nearest word wins: the rule's, else its tier's, else monitor if the tenant or a zone of an end is in
      monitor mode. A provider's rule listens to itself and its tier only. Between tenants nothing is merely
      watched: what would drop there drops.
    - A connection that passes so counts as allowed for ``mirrors:``; ``through`` belongs to ``allow`` alone.

Between tenants
    - There is an *agreement* about a connection if one end's tenant exports to the other's a zone that holds
      this end, and the other imports it. Both ends must be endpoints.
    - Without an agreement, each tenant's own rules and mirrors do not see the other's endpoint at all. With
      one, it is in ``any``, ``external``, ``cidrs`` zones (unless ``outside``), and in the imported name.
    - A tenant's ``allow`` counts if the matching peer names the zone agreed on: on the exporter's own side
      the exported zone, on the other side the local name of the import. ``allow`` of the source's tenant goes
      on to the destination's tiers, whose ``allow`` ends it; mirrors of both rules count, functions of the
      first come before those of the second, and either can ask for the log. If one of the two decides
      nothing, the provider's ``after`` tiers are next, then the built-in drop.
    - A provider's rule *names both tenants* if its peers on both sides are written with a tenant. Only such
      an ``allow`` opens a way; peers without a tenant still drop, reject and pass. ``self`` joins ends of
      one tenant only. Without an agreement and without any rule in force that names both, nothing is asked:
      the built-in drop.
    - A provider's tier with ``tenants:`` stands for a connection if the tenant of either end is named.

Beside the rules
    - Multicast and broadcast are decided by ``builtin/multicast``: ND, DHCP and what ``multicast:`` names
      pass, all else is dropped, and no rule or mirror is asked.
    - ``builtin/management`` is about the hosts' own connections; no probe in a tenant's view is one.
"""

from zonewall.intent.semantics.ends import astray
from zonewall.intent.semantics.judge import account, verdict
from zonewall.intent.semantics.probe import Probe, ProbeError, Step, Verdict

__all__ = ["Probe", "ProbeError", "Step", "Verdict", "account", "astray", "verdict"]
