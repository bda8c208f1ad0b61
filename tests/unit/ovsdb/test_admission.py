"""Who may connect as which host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.ovsdb_host import declared_hosts
from zonewall.errors import AdmissionError
from zonewall.ovsdb.admission import admitted_host
from zonewall.ovsdb.refusals import Refusals
from zonewall.values.names import HostName

HV1, OUT = HostName("hv1"), HostName("out")
HOSTS = declared_hosts("hv1", "hv2") | declared_hosts("out", ovsdb="tcp:192.0.2.1:6640")


def test_a_known_system_id_is_that_host() -> None:
    assert admitted_host(HOSTS, {HostName("hv2")}, "hv1", None, None) == "hv1"


def test_a_certificate_may_have_more_names_than_the_one_that_is_asked_for() -> None:
    assert admitted_host(HOSTS, set(), "hv1", frozenset({"x", "hv1"}), None) == "hv1"


@pytest.mark.parametrize(
    ("system_id", "names", "dialled", "connected", "reason"),
    [
        (None, None, None, [], "has no external_ids:system-id; set it"),
        ("stranger", None, None, [], "'stranger' is no host of the inventory"),
        ("hv1", frozenset({"hv2"}), None, [], "certificate is for 'hv2', host hv1 must show 'hv1'"),
        ("hv1", frozenset(), None, [], "certificate is for no name"),
        ("hv1", None, None, [HV1], "is connected already"),
        ("hv1", None, OUT, [], "'hv1' answers where 'out' should"),
        ("out", None, None, [], "host out is connected out to"),
    ],
)
def test_who_is_not_whom_the_inventory_says_is_refused_with_the_reason(
    system_id: str | None,
    names: frozenset[str] | None,
    dialled: HostName | None,
    connected: list[HostName],
    reason: str,
) -> None:
    with pytest.raises(AdmissionError) as refusal:
        admitted_host(HOSTS, connected, system_id, names, dialled)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_host_whose_certificate_is_named_shows_it_unless_it_is_connected_out_to_in_plain() -> None:
    hosts = {name: replace(host, must_show=True) for name, host in HOSTS.items()}
    with pytest.raises(AdmissionError, match="host hv1 must show a certificate for 'hv1' and showed none"):
        admitted_host(hosts, set(), "hv1", None, None)
    assert admitted_host(hosts, set(), "hv1", frozenset({"hv1"}), None) == "hv1"
    assert admitted_host(hosts, set(), "out", None, OUT) == "out"


def test_a_refusal_is_said_once_a_minute_and_not_without_end() -> None:
    refusals = Refusals()
    assert refusals.worth_saying("192.0.2.1", "a", 0.0)
    assert not refusals.worth_saying("192.0.2.1", "a", 59.0)
    assert refusals.worth_saying("192.0.2.2", "a", 59.0)
    assert refusals.worth_saying("192.0.2.1", "a", 60.0)
    said = sum(refusals.worth_saying("192.0.2.3", str(number), 1.0) for number in range(1000))
    assert said == 20


def test_a_host_whose_database_has_shown_a_certificate_shows_it_again() -> None:
    with pytest.raises(AdmissionError, match=r"none; use ssl:, as it has before; .* take hv1 out of cert"):
        admitted_host(HOSTS, set(), "hv1", None, None, {HV1, OUT})
    assert admitted_host(HOSTS, set(), "hv2", None, None, {HV1, OUT}) == "hv2"
    assert admitted_host(HOSTS, set(), "hv1", frozenset({"hv1"}), None, {HV1, OUT}) == "hv1"
    assert admitted_host(HOSTS, set(), "out", None, OUT, {HV1, OUT}) == "out"
