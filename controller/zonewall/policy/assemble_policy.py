"""Tenant and provider documents to values; every name is looked up where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from zonewall.policy.document_models import (
    LimitsPart,
    MirrorPart,
    ProviderDocument,
    RespondPart,
    RulePart,
    SelectorPart,
    TenantDocument,
    TierPart,
    ZonePart,
)
from zonewall.policy.findings import Location
from zonewall.policy.lookups import PEER_WORDS, Lookup, Names
from zonewall.policy.model import (
    Action,
    Assertion,
    Export,
    HostConstraint,
    Hours,
    Import,
    MirrorRule,
    Mode,
    OnChange,
    Provider,
    ProviderLimits,
    Response,
    Rule,
    Selector,
    Tenant,
    Tier,
    Zone,
)
from zonewall.policy.notes import Notes, quoted
from zonewall.policy.yamltree import Path, Tree
from zonewall.values.names import HostName, TenantName, ZoneName

RESERVED_TENANTS = ("provider", "builtin")
"""Their names stand before those of other rules in verdicts."""
_CUT = OnChange()


@dataclass(slots=True)
class Reader(Lookup):
    """Reads one document."""

    def tiers(self, key: str, parts: Iterable[TierPart], seen: set[str]) -> tuple[Tier, ...]:
        """Return tiers with their rules; ``seen`` are the names of the document's other tiers."""
        result = []
        for index, part in enumerate(parts):
            path: Path = (key, index)
            if part.name in seen:
                message = f"there is a tier {part.name!r} already; rename one"
                self.notes.error("duplicate-name", self.tree.at(*path, "name"), message)
            seen.add(part.name)
            tenants = getattr(part, "tenants", None)
            if tenants is not None:
                self.known(tenants, self.names.zones, "tenant", (*path, "tenants"))
            rules = self._rules(part, path)
            result.append(Tier(part.name, rules, self.tree.at(*path), _mode(part.mode), tenants))
        return tuple(result)

    def _rules(self, tier: TierPart, path: Path) -> tuple[Rule, ...]:
        seen: set[str] = set()
        rules = []
        for index, part in enumerate(tier.rules):
            at: Path = (*path, "rules", index)
            if part.name in seen:
                message = f"there is a rule {part.name!r} in this tier already; rename one"
                self.notes.error("duplicate-name", self.tree.at(*at, "name"), message)
            seen.add(part.name)
            rules.append(self.rule(part, at))
        return tuple(rules)

    def rule(self, part: RulePart, at: Path) -> Rule:
        """Return a rule."""
        inventory = self.names.inventory
        if part.through and part.action != "allow":
            message = f"only what is allowed can go through {part.through[0]!r}; make the action allow"
            self.notes.error("wrong-value", self.tree.at(*at, "through"), message)
        for key, why in _idle(part):
            self.notes.warning(
                "no-effect", self.tree.at_key(*at, key), f"`{key}` changes nothing here: {why}"
            )
        sources, destinations = self.peers(part.from_, (*at, "from")), self.peers(part.to, (*at, "to"))
        if any(peer.kind == "self" for peer in destinations) and any(p.kind != "zone" for p in sources):
            message = "`to: self` pairs each zone in `from` with itself; name zones there"
            self.notes.error("wrong-value", self.tree.at(*at), message)
        hours = None
        if part.hours is not None:
            days = frozenset[int]().union(*part.hours.days)
            hours = Hours(days, part.hours.from_, part.hours.to, part.hours.zone)
        return Rule(
            name=part.name,
            sources=sources,
            destinations=destinations,
            services=self.terms(part.services, (*at, "services")),
            action=Action(part.action),
            location=self.tree.at(*at),
            log=part.log,
            mirror=self.known(part.mirror, inventory.mirror_targets, "mirror target", (*at, "mirror")),
            through=self.known(
                part.through, inventory.service_functions, "service function", (*at, "through")
            ),
            limit=part.limit,
            hours=hours,
            expires=part.expires,
            on_change=part.on_change or _CUT,
            mode=_mode(part.mode),
        )

    def mirror(self, part: MirrorPart, at: Path) -> MirrorRule:
        """Return a mirror rule."""
        targets = self.known(
            part.target, self.names.inventory.mirror_targets, "mirror target", (*at, "target")
        )
        return MirrorRule(
            part.name,
            self.peers(part.from_, (*at, "from")),
            self.peers(part.to, (*at, "to")),
            self.terms(part.services, (*at, "services")),
            targets,
            part.when,
            self.tree.at(*at),
            part.sample,
            part.truncate,
        )

    def zone(self, name: str, part: ZonePart) -> Zone:
        """Return a zone."""
        hosts = None
        if part.hosts is not None:
            named = None
            if part.hosts.hosts is not None:
                path: Path = ("zones", name, "hosts", "hosts")
                self.known(part.hosts.hosts, self.names.inventory.hosts, "host", path)
                named = tuple(HostName(host) for host in part.hosts.hosts)
            hosts = HostConstraint(part.hosts.trust, part.hosts.labels, named)
        selector = self._selector(part, ("zones", name))
        return Zone(ZoneName(name), selector, self.tree.at_key("zones", name), hosts, Mode(part.mode))

    def _selector(self, part: SelectorPart, path: Path) -> Selector:
        own = self.names.own_zones.get(self.tenant or "", frozenset())
        if part.zones is not None:
            self.known(part.zones, own, "zone", (*path, "zones"))
        if part.endpoints is not None:
            there = self.names.endpoints.get(self.tenant or "", ())
            self.known(part.endpoints, there, "endpoint", (*path, "endpoints"))
        if part.outside and part.cidrs is None and part.zones is None:
            message = "`outside` keeps `cidrs` to addresses of no endpoint; name some `cidrs`"
            self.notes.error("wrong-value", self.tree.at(*path, "outside"), message)
        zones = None if part.zones is None else tuple(ZoneName(zone) for zone in part.zones)
        excluded = None if part.except_ is None else self._selector(part.except_, (*path, "except"))
        return Selector(part.labels, part.endpoints, part.macs, part.cidrs, zones, part.outside, excluded)


def assemble_tenant(tree: Tree, part: TenantDocument, names: Names, notes: Notes) -> Tenant:
    """Return a tenant's policy."""
    reader = Reader(tree, names, notes, part.tenant)
    reader.define_services(part.services)
    _check_names(tree, part, notes)
    imports = []
    for index, one in enumerate(part.import_):
        owner, _, zone = one.zone.partition("/")
        at = tree.at("import", index)
        _check_imported(one.zone, part.tenant, at, names, notes)
        if one.as_ in part.zones:
            notes.error("duplicate-name", at, f"{one.as_!r} is a zone of this tenant; choose another `as`")
        imports.append(Import(TenantName(owner), ZoneName(zone), ZoneName(one.as_), at))
    exports = []
    for index, export in enumerate(part.export):
        path: Path = ("export", index)
        reader.known([export.zone], part.zones, "zone", (*path, "zone"))
        reader.known(export.to, names.zones, "tenant", (*path, "to"))
        to = tuple(TenantName(tenant) for tenant in export.to)
        exports.append(Export(ZoneName(export.zone), to, tree.at(*path)))
    default_at = tree.at("default") if "default" in tree.root.entries else tree.at()
    return Tenant(
        name=TenantName(part.tenant),
        location=tree.at(),
        zones={ZoneName(name): reader.zone(name, zone) for name, zone in part.zones.items()},
        tiers=reader.tiers("tiers", part.tiers, set()),
        default=Action(part.default),
        default_location=default_at,
        mode=Mode(part.mode),
        mirrors=tuple(reader.mirror(m, ("mirrors", i)) for i, m in enumerate(part.mirrors)),
        exports=tuple(exports),
        imports=tuple(imports),
        assertions=_assertions(reader, part),
        learn_addresses=part.learn_addresses,
    )


def _check_imported(text: str, reader: str, at: Location, names: Names, notes: Notes) -> None:
    """Refuse an import of what is no other tenant's zone."""
    owner, slash, zone = text.partition("/")
    if not slash:
        notes.error("wrong-value", at, f"{quoted(text)} is no tenant's zone; write it as tenant/zone")
    elif owner == reader:
        notes.error("wrong-value", at, f"{quoted(text)} is this tenant's own; name it without an import")
    elif owner not in names.own_zones:
        hint = notes.hint(owner, names.own_zones, "tenants")
        notes.error("unknown-tenant", at, f"{quoted(owner)} is no tenant; {hint}")
    elif zone not in names.own_zones[owner]:
        hint = notes.hint(zone, names.own_zones[owner], "zones")
        notes.error("unknown-zone", at, f"{quoted(zone)} is no zone of {owner}; {hint}")


def _check_names(tree: Tree, part: TenantDocument, notes: Notes) -> None:
    """Refuse names that mean something else, or that stand twice."""
    if part.tenant in RESERVED_TENANTS:
        notes.error("wrong-value", tree.at("tenant"), f"no tenant can be called {part.tenant!r}; rename it")
    for word in PEER_WORDS:
        if word in part.zones:
            message = f"{word!r} means somebody in every rule; give the zone another name"
            notes.error("wrong-value", tree.at_key("zones", word), message)
    names: list[tuple[str, int, str, str]] = []
    names += [("mirrors", index, "name", mirror.name) for index, mirror in enumerate(part.mirrors)]
    names += [("import", index, "as", one.as_) for index, one in enumerate(part.import_)]
    names += [("export", index, "zone", one.zone) for index, one in enumerate(part.export)]
    seen: set[tuple[str, str]] = set()
    for key, index, field_name, name in names:
        if (key, name) in seen:
            what = "write them as one" if key == "export" else "rename one"
            message = f"{name!r} stands twice under `{key}`; {what}"
            notes.error("duplicate-name", tree.at(key, index, field_name), message)
        seen.add((key, name))


def _assertions(reader: Reader, part: TenantDocument) -> tuple[Assertion, ...]:
    result = []
    for index, one in enumerate(part.assert_):
        path: Path = ("assert", index)
        verdict = one.never or one.always
        if verdict is None or (one.never and one.always):
            message = "an assertion says one of the two: `never: allow` or `always: allow`"
            reader.notes.error("incomplete", reader.tree.at(*path), message)
            continue
        quantifier: Literal["never", "always"] = "never" if one.never else "always"
        result.append(
            Assertion(
                reader.peers(one.from_, (*path, "from")),
                reader.peers(one.to, (*path, "to")),
                reader.terms(one.services, (*path, "services")),
                quantifier,
                Action(verdict),
                reader.tree.at(*path),
            )
        )
    return tuple(result)


def assemble_provider(read: list[tuple[Tree, ProviderDocument]], names: Names, notes: Notes) -> Provider:
    """Return the provider's policy; a second document is an error."""
    if not read:
        return Provider()
    for tree, _ in read[1:]:
        message = f"there is a provider's policy already, in {read[0][0].file}; put both into one"
        notes.error("duplicate-name", tree.at("kind"), message)
    tree, part = read[0]
    reader = Reader(tree, names, notes, None)
    reader.define_services(part.services)
    remediation = None
    if part.remediation is not None:
        (peer,) = reader.peers([part.remediation], ("remediation",)) or (None,)
        if peer is not None and peer.zone is not None and peer.tenant not in (None, "*"):
            remediation = (TenantName(str(peer.tenant)), peer.zone)
        elif peer is not None:
            message = "remediation is one zone, written tenant/zone"
            notes.error("wrong-value", tree.at("remediation"), message)
    limits = _limits(part.limits)
    seen: set[str] = set()
    return Provider(
        reader.tiers("before", part.before, seen),
        reader.tiers("after", part.after, seen),
        limits,
        frozenset(part.ethertypes),
        frozenset(part.multicast),
        remediation,
        tuple(_response(reader, at, one) for at, one in enumerate(part.respond)),
    )


def _response(reader: Reader, index: int, part: RespondPart) -> Response:
    at = reader.tree.at("respond", index)
    for action, key, value in (("limit", "limit", part.limit), ("mirror", "target", part.target)):
        if part.action == action and not value:
            reader.notes.error("incomplete", at, f"action: {action} says its `{key}`")
    targets = reader.known(
        part.target or (),
        reader.names.inventory.mirror_targets,
        "mirror target",
        ("respond", index, "target"),
    )
    return Response(
        part.name, part.action, at, part.signature, part.severity, part.count, part.within, part.who,
        part.limit, targets, part.expires,
        reader.peers(part.exempt, ("respond", index, "exempt")), part.at_most, part.mode == "monitor",
    )  # fmt: skip


def _limits(part: LimitsPart) -> ProviderLimits:
    """Return the limits; of two that say the same scope the lower holds."""
    by_scope: dict[bool, int] = {}
    for rate in part.new_connections:
        by_scope[rate.per_tenant] = min(rate.per_s, by_scope.get(rate.per_tenant, rate.per_s))
    return ProviderLimits(by_scope.get(False), by_scope.get(True), part.connections, part.announcements)


def _mode(word: str | None) -> Mode | None:
    return None if word is None else Mode(word)


def _idle(part: RulePart) -> Iterator[tuple[str, str]]:
    """Yield the keys of a rule that change nothing, and why."""
    if part.on_change is not None and part.on_change.kind != "cut":
        if part.action != "allow":
            yield "on-change", "only a rule that allows has live connections"
        elif part.through:
            yield "on-change", f"what goes through {part.through[0]!r} is cut when the rule goes"
    if part.action == "pass":
        for key, said in (("log", part.log != "none"), ("mirror", part.mirror), ("limit", part.limit)):
            if said:
                yield key, "a rule that passes leaves it to the rule that decides"
