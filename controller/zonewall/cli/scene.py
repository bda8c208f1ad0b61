"""What a command is about: a configuration on disk, or what a running controller has in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from zonewall.api.control import look
from zonewall.errors import ConfigurationError, ZonewallError
from zonewall.intent.fleet import Fleet, Policy, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.intent.passing import NOTHING_PASSES, Outliving, Passing, rule_ends
from zonewall.intent.schedule import inactive_rules
from zonewall.placement.learnt import AddressBook, Learnt, Source, laid_over
from zonewall.placement.model import Placement
from zonewall.policy.added import ADDED
from zonewall.policy.load import load_directory, load_texts
from zonewall.policy.model import Configuration
from zonewall.store.placement_file import parse_placement, read_placement
from zonewall.values.names import EndpointKey

PlacementFile = Annotated[
    Path | None, typer.Option("--placement", metavar="FILE", help="YAML: who is where, as for compile.")
]


@dataclass(frozen=True, slots=True)
class Scene:
    """A configuration at a moment, and where everything is if that is known.

    Attributes:
        title: what it is called in a report.
        numbering: numbers given before; empty for a configuration of its own.
        socket: where the controller answers; None for documents on disk.
        learnt: addresses that no document says.
        passing: what ends by itself.
        added: the document of what was added by command, which stays beside any other configuration.
        journal: where the controller keeps its journal; None for documents on disk.
    """

    title: str
    configuration: Configuration
    numbering: Numbering
    placement: Placement | None
    inactive: frozenset[str]
    socket: Path | None = None
    learnt: AddressBook = field(default_factory=AddressBook)
    passing: Passing = NOTHING_PASSES
    added: Mapping[str, bytes] = field(default_factory=dict)
    journal: Path | None = None

    def with_learnt(self, documents: Configuration) -> Configuration:
        """Return other documents' configuration with what would still be learnt under them."""
        return laid_over(documents, self.learnt.without(self.learnt.unfounded(documents)))

    def policy(self) -> Policy:
        """Return what the compiler reads of it."""
        return prepare(self.configuration, self.numbering, self.inactive, self.passing)

    def fleet(self) -> Fleet:
        """Return policy and placement together.

        Raises:
            ZonewallError: nobody has said where anything is.
        """
        if self.placement is None:
            raise ZonewallError("where everything is, is not known: say --placement, or ask a controller")
        return index_fleet(self.policy(), self.placement)


def on_disk(directory: Path, placement: Path | None, at: datetime) -> Scene:
    """Return the scene of a directory.

    Raises:
        ZonewallError: the documents or the placement cannot be used.
    """
    configuration = laid_over(load_directory(directory), AddressBook())
    where = None if placement is None else read_placement(placement)
    inactive, passing = inactive_rules(configuration, at), Passing(rule_ends(configuration, at))
    return Scene(str(directory), configuration, Numbering(), where, inactive, passing=passing)


def in_force(socket: Path, at: datetime) -> Scene:
    """Return what a running controller has in force.

    Raises:
        ControllerUnreachableError: nothing answers at the socket.
        ZonewallError: what it answers cannot be read.
    """
    document = look(socket, "in-force")
    try:
        texts = {
            str(file): str(text).encode("utf-8", "surrogateescape")
            for file, text in document["documents"].items()
        }
        numbering = Numbering.from_plain(document["numbering"])
        placement = parse_placement(document["placement"], str(socket))
        learnt = AddressBook.of(
            Learnt(EndpointKey(endpoint), ip_address(address), Source(source))
            for endpoint, address, source in document["addresses"]
        )
        journal = None if document.get("journal") is None else Path(document["journal"])
        outliving = tuple(Outliving(str(rule), until) for rule, until in document["outliving"])
    except (KeyError, AttributeError, ValueError, TypeError) as error:
        raise ZonewallError(f"{socket}: the controller is of another version: {error!r}") from error
    result = load_texts(texts)
    if result.configuration is None:
        raise ConfigurationError(result.findings)
    configuration = laid_over(result.configuration, learnt)
    inactive = inactive_rules(configuration, at)
    passing = Passing(rule_ends(configuration, at), outliving)
    added = {name: text for name, text in texts.items() if name == ADDED}
    return Scene(
        "the controller's", configuration, numbering, placement, inactive, socket, learnt, passing, added,
        journal,
    )  # fmt: skip
