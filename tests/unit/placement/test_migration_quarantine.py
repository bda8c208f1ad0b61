"""One endpoint's life: who is not believed, who is held, and whose host or configuration is another."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from support.placement_steps import (
    ACTIVE,
    MIGRATING,
    MOVED,
    ONE,
    SETTLED,
    A,
    B,
    C,
    confirmed,
    kinds,
    plugged,
    run,
    states,
)
from support.placement_walk import BLANK, FORGED, MAC, NOW, OTHER_MAC, RARP
from zonewall.placement.announcement import Announcement, AnnouncementKind
from zonewall.placement.binding_events import (
    Announced,
    ConfigurationChanged,
    EffectKind,
    HostBack,
    HostLost,
    OfportChanged,
    Plugged,
    Quarantine,
    Release,
    Timing,
    Unplugged,
)
from zonewall.placement.binding_record import Role, State, bindings, state
from zonewall.placement.migration import step
from zonewall.placement.model import BindingState
from zonewall.values.names import HostName, OfPort

# Who is not believed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(Announced(B, FORGED, NOW), id="forged: another MAC inside"),
        pytest.param(
            Announced(B, Announcement(AnnouncementKind.RARP, OTHER_MAC, None), NOW),
            id="another endpoint's MAC",
        ),
        pytest.param(Announced(C, RARP, NOW), id="from a port that is no candidate"),
        pytest.param(
            Announced(B, Announcement(AnnouncementKind.GARP, MAC, ipaddress.ip_address("10.0.0.99")), NOW),
            id="another's address",
        ),
        pytest.param(
            Announced(B, Announcement(AnnouncementKind.NA, MAC, ipaddress.ip_address("fe80::1")), NOW),
            id="another's link-local address",
        ),
    ],
)
def test_an_announcement_that_is_not_the_endpoints_moves_nothing(event: Announced) -> None:
    before = replace(MIGRATING, prefixes=(ipaddress.ip_network("10.0.0.10/32"),))
    record, effects = step(before, event)

    assert record == before
    assert kinds(effects) == [(EffectKind.IGNORED, event.port)]


@pytest.mark.parametrize("address", ["10.0.0.10", "fe80::5054:ff:fe12:3456"])
def test_its_own_and_its_link_local_address_move_it(address: str) -> None:
    before = replace(MIGRATING, prefixes=(ipaddress.ip_network("10.0.0.10/32"),))
    announcement = Announcement(AnnouncementKind.NA, MAC, ipaddress.ip_address(address))

    assert state(run(before, Announced(B, announcement, NOW))) is State.LEAVING


def test_an_older_generation_never_undoes_a_newer_one() -> None:
    record = run(MOVED, plugged(A, 3))

    for stale in (Unplugged(A, 1, NOW), plugged(A, 1), OfportChanged(A, None, 1, NOW)):
        after, effects = step(record, stale)
        assert after == record
        assert kinds(effects) == [(EffectKind.IGNORED, A)]


def test_a_port_with_another_mac_is_quarantined_with_the_reason() -> None:
    record, effects = step(BLANK, Plugged(A, ONE, 1, NOW, OTHER_MAC))

    assert state(record) is State.QUARANTINED
    assert [(b.state, b.reason) for b in bindings(record)] == [(BindingState.QUARANTINED, effects[-1].reason)]
    assert "MAC differs: the port has 52:54:00:aa:bb:cc" in effects[-1].reason


def test_quarantine_for_a_wrong_mac_ends_when_the_port_says_the_right_one() -> None:
    record = run(BLANK, Plugged(A, ONE, 1, NOW, OTHER_MAC))
    record, effects = step(record, Plugged(A, ONE, 1, NOW, MAC))

    assert state(record) is State.ACTIVE
    assert EffectKind.RELEASED in [effect.kind for effect in effects]


def test_another_vm_with_the_same_iface_id_is_a_clone_and_never_wins() -> None:
    record = run(ACTIVE, plugged(B, 2, vm_id="vm-2"), confirmed(B, 2), Announced(B, RARP, NOW))

    assert states(record) == {"hv1": BindingState.ACTIVE, "hv2": BindingState.LEAVING}
    assert "clone" in bindings(record)[1].reason


def test_a_clone_takes_the_place_once_the_first_is_gone() -> None:
    record = run(ACTIVE, plugged(B, 2, vm_id="vm-2"), confirmed(B, 2), Unplugged(A, 1, NOW))

    assert states(record) == {"hv2": BindingState.ACTIVE}


def test_a_vm_id_that_the_inventory_does_not_give_is_quarantined() -> None:
    record = run(replace(BLANK, vm_id="vm-9"), plugged(A, 1), confirmed(A, 1))

    assert state(record) is State.QUARANTINED


def test_an_old_port_that_speaks_after_the_hand_over_is_a_clone_and_the_newcomer_is_quarantined() -> None:
    record, effects = step(MOVED, Announced(A, RARP, SETTLED))

    assert state(record) is State.QUARANTINED
    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.QUARANTINED}
    assert effects[-1].kind is EffectKind.QUARANTINED
    assert (
        effects[-1].reason
        == "clone: speaks at hv2/br-int/tap0 and still at hv1/br-int/tap0, which it had left"
    )


@pytest.mark.parametrize(
    ("gone", "left"), [(Unplugged(A, 1, SETTLED), "hv2"), (Unplugged(B, 2, SETTLED), "hv1")]
)
def test_quarantine_of_a_clone_ends_when_one_of_the_two_is_gone(gone: Unplugged, left: str) -> None:
    record = run(MOVED, Announced(A, RARP, SETTLED), gone)

    assert states(record) == {left: BindingState.ACTIVE}


def test_a_clone_that_an_operator_released_is_not_quarantined_again_by_the_same_port() -> None:
    record = run(MOVED, Announced(A, RARP, SETTLED), Release(SETTLED), Announced(A, RARP, SETTLED + 1))

    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.ACTIVE}


# Hosts, quarantine, configuration ---------------------------------------------------------------------


def test_a_host_that_cannot_be_heard_keeps_its_bindings() -> None:
    record, effects = step(ACTIVE, HostLost(HostName("hv1"), NOW))

    assert bindings(record) == bindings(ACTIVE)
    assert effects == ()
    assert run(record, plugged(B, 2), confirmed(B, 2)).holder == record.holder


def test_a_host_whose_switch_restarted_takes_up_connections_again() -> None:
    record = run(ACTIVE, HostLost(HostName("hv1"), NOW), HostBack(HostName("hv1"), NOW, restarted=True))

    assert [binding.midstream for binding in bindings(record)] == [True]


def test_quarantine_by_hand_holds_everywhere_and_through_a_move_until_released() -> None:
    record = run(MIGRATING, Quarantine("by hand", NOW), Announced(B, RARP, NOW))

    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.QUARANTINED}
    assert states(run(record, Release(NOW, "something else"))) == states(record)
    assert states(run(record, Release(NOW, "by hand")))["hv2"] is BindingState.ACTIVE


def test_an_absent_endpoint_can_be_quarantined_before_it_appears() -> None:
    record = run(BLANK, Quarantine("by hand", NOW), plugged(A, 1), confirmed(A, 1))

    assert states(record) == {"hv1": BindingState.QUARANTINED}


def test_a_host_that_is_no_longer_trusted_quarantines_and_trust_releases() -> None:
    distrust = ConfigurationChanged(MAC, None, (), ((A, ("hv1 is not trusted",)),), NOW)
    record = run(ACTIVE, distrust)

    assert [(b.state, b.reason) for b in bindings(record)] == [
        (BindingState.QUARANTINED, "hv1 is not trusted")
    ]
    assert run(record, ConfigurationChanged(MAC, None, (), (), NOW)) == ACTIVE


def test_an_announcement_from_an_untrusted_host_never_moves() -> None:
    untrusted = Plugged(B, ONE, 2, NOW, MAC, "vm-1", faults=("hv2 is not trusted",))
    record = run(ACTIVE, untrusted, confirmed(B, 2), Announced(B, RARP, NOW))

    assert states(record) == {"hv1": BindingState.ACTIVE, "hv2": BindingState.LEAVING}
    assert states(run(record, Unplugged(A, 1, NOW))) == {"hv2": BindingState.QUARANTINED}


def test_an_ofport_that_changes_under_a_holder_keeps_it_active() -> None:
    record, effects = step(ACTIVE, OfportChanged(A, OfPort(7), 1, NOW))

    assert [(b.ofport, b.state) for b in bindings(record)] == [(7, BindingState.ACTIVE)]
    assert kinds(effects) == [(EffectKind.ACTIVATE, A), (EffectKind.REPATH, A)]


def test_an_ofport_that_is_lost_sends_the_endpoint_to_its_other_port() -> None:
    record = run(MIGRATING, OfportChanged(A, None, 1, NOW))

    assert states(record) == {"hv2": BindingState.ACTIVE}
    assert [place.role for place in record.places] == [Role.WAITING, Role.HOLDER]


def test_times_are_the_callers_to_choose() -> None:
    record, _ = step(MIGRATING, Announced(B, RARP, NOW), Timing(window_s=3.0))

    assert record.window_until == NOW + 3
