"""Files of the controller: a numbering is never half, a placement never guessed, options never ignored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zonewall.errors import ZonewallError
from zonewall.intent.numbering import Kind, Numbering, NumberingBuilder
from zonewall.placement.model import BindingState
from zonewall.store.numbering_file import read_numbering, write_numbering
from zonewall.store.options import TlsOptions, parse_events, parse_remote, read_options
from zonewall.store.placement_file import read_placement


def test_a_numbering_comes_back_as_it_was_written(tmp_path: Path) -> None:
    builder = NumberingBuilder(Numbering())
    numbers = [builder.number(Kind.RULE, name) for name in ("acme/t/a", "acme/t/b")]
    write_numbering(tmp_path / "state" / "numbering.json", builder.freeze())
    again = NumberingBuilder(read_numbering(tmp_path / "state" / "numbering.json"))
    assert [again.number(Kind.RULE, name) for name in ("acme/t/a", "acme/t/b")] == numbers
    assert again.number(Kind.RULE, "acme/t/c") == max(numbers) + 1


def test_no_file_is_an_empty_numbering(tmp_path: Path) -> None:
    assert read_numbering(tmp_path / "none.json") == Numbering()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"rule": 3}',
        '{"rule": {"a": "b"}}',
        '{"rule": {"a": true}}',
        '{"rule": {"a": 7, "b": 7}}',
        '{"rule": {"a": -3}}',
    ],
)
def test_a_damaged_numbering_is_refused_not_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "numbering.json").write_text(text)
    with pytest.raises(ZonewallError, match="no usable numbering"):
        read_numbering(tmp_path / "numbering.json")


def test_a_placement_says_who_is_where(tmp_path: Path) -> None:
    file = tmp_path / "placement.yaml"
    file.write_text(
        "placements:\n"
        "  - {endpoint: acme/web1, host: hv1, bridge: br-int, ofport: 5}\n"
        "  - {endpoint: acme/web1, host: hv2, bridge: br-int, ofport: 6, state: pending}\n"
        "ports: [{host: hv1, bridge: br-int, name: eth1, ofport: 1}]\n"
        "links: [{a: hv1/br-int/2, b: hv2/br-int/3}]\n"
    )
    placement = read_placement(file)
    states = [binding.state for binding in placement.bindings["acme/web1"]]  # type: ignore[index]
    assert states == [BindingState.ACTIVE, BindingState.PENDING]
    assert list(placement.ports.values()) == [1]
    (link,) = placement.links
    assert (str(link.a[0]), link.a[1], str(link.b[0]), link.b[1]) == ("hv1/br-int", 2, "hv2/br-int", 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("placements: [{endpoint: acme/web1}]", "placements.0.host"),
        ("placements: [{endpoint: a/b, host: h, bridge: b, ofport: 0}]", "ofport"),
        ("links: [{a: hv1/br-int, b: hv2/br-int/2}]", "host/bridge/ofport"),
        ("placement: []", "placement"),
        ("[", "cannot be read"),
    ],
)
def test_a_wrong_placement_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "placement.yaml"
    file.write_text(text)
    with pytest.raises(ZonewallError, match=said) as caught:
        read_placement(file)
    assert "\n" not in str(caught.value)


def test_the_command_line_overrides_the_options_file(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("openflow: ['tcp:127.0.0.1:7000']\nstate: /somewhere\n")
    options = read_options(file, {"openflow": ("tcp:127.0.0.1:7001",), "state": None})
    assert options.openflow == ("tcp:127.0.0.1:7001",)
    assert options.state == Path("/somewhere")


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("openflw: ['tcp:127.0.0.1:7000']\n")
    with pytest.raises(ZonewallError, match="openflw"):
        read_options(file, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- openflow", "options are a mapping"),
        ("openflow: tcp:127.0.0.1:7000", "openflow: "),
        ("ovsdb: [6640]", "ovsdb.0: "),
        ("allow-plain: perhaps", "allow-plain: "),
        ("state: [a]", "state: "),
        ("log-format: xml", "log-format: "),
        ("tls: {certificate: c, ca: a}", "tls.private-key: "),
        ("tls: {certificate: c, ca: a, private-key: 7}", "tls.private-key: "),
        ("1: 2", "1: "),
        ("openflow: [", "cannot be read as options"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    with pytest.raises(ZonewallError, match=re.escape(said)) as caught:
        read_options(file, {})
    assert "\n" not in str(caught.value)


def test_every_option_of_a_file_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(
        "allow-plain: yes\nlog-format: json\nsocket: /run/s\nevents: ['unix:/e']\nrecords: ['file:/r']\n"
        "tls: {certificate: c.pem, private-key: k.pem, ca: a.pem}\n"
    )
    options = read_options(file, {"log-format": "text"})
    assert options.allow_plain
    assert options.log_format == "text"
    assert options.control_socket == Path("/run/s")
    assert (options.events, options.records) == (("unix:/e",), ("file:/r",))
    assert options.tls == TlsOptions.model_validate(
        {"certificate": "c.pem", "private-key": "k.pem", "ca": "a.pem"}
    )


def test_nothing_listens_beyond_loopback_unless_said() -> None:
    options = read_options(None, {})
    assert options.openflow == ("tcp:127.0.0.1:6653",)
    assert options.ovsdb == ()
    assert not options.allow_plain


@pytest.mark.parametrize("text", ["6653", "udp:127.0.0.1:6653", "tcp:127.0.0.1", "tcp::6653", "tcp:a:70000"])
def test_a_place_to_listen_is_written_in_one_way(text: str) -> None:
    with pytest.raises(ZonewallError, match="no place to listen"):
        parse_remote(text)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert parse_remote("ssl:[::1]:6653") == ("ssl", "::1", 6653)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("file:/var/log/eve.json", ("eve", "file", Path("/var/log/eve.json"))),
        ("file:/var/log/a+b.json", ("eve", "file", Path("/var/log/a+b.json"))),
        ("plain+file:/var/log/a+b.json", ("plain", "file", Path("/var/log/a+b.json"))),
        ("eve+unix:/run/eve+.sock", ("eve", "unix", Path("/run/eve+.sock"))),
    ],
)
def test_a_source_of_events_is_named_by_form_kind_and_any_path(
    text: str, source: tuple[str, str, Path]
) -> None:
    assert parse_events(text) == source


@pytest.mark.parametrize(
    "text",
    ["/var/log/eve.json", "snort+file:/x", "+file:/x", "plain+", "plain+eve+file:/x", "file:", "udp:/x"],
)
def test_what_is_no_source_of_events_is_refused(text: str) -> None:
    with pytest.raises(ZonewallError, match="is no source of events"):
        parse_events(text)
