"""When bridges may be changed after a start: nothing is taken for gone that nobody has told of yet."""

from __future__ import annotations

import pytest

from zonewall.placement.model import BridgeKey
from zonewall.reconciler.hearing import LINKS_S, UNREMEMBERED_S, UNTOLD_S, Hearing
from zonewall.values.names import BridgeName, HostName

HV1, HV2 = HostName("hv1"), HostName("hv2")
CONNECTED = {BridgeKey(host, BridgeName("br-int")): True for host in (HV1, HV2)}
ONE_AWAY = {key: key.host == HV1 for key in CONNECTED}


def test_with_a_head_start_a_host_waits_for_nobody_but_itself() -> None:
    hearing = Hearing(100.0, True)
    assert not hearing.is_known(HV1)
    assert hearing.take(HV1)
    assert not hearing.take(HV1)
    assert hearing.is_known(HV1)
    assert not hearing.is_known(HV2)


def test_without_one_it_waits_for_all_and_for_the_links_between_them() -> None:
    hearing = Hearing(100.0, False)
    hearing.take(HV1)
    assert not hearing.time_passes(101.0, CONNECTED)
    assert not hearing.is_known(HV1)
    hearing.take(HV2)
    assert not hearing.time_passes(102.0, ONE_AWAY)
    assert not hearing.time_passes(103.0, CONNECTED)
    assert not hearing.is_known(HV1)
    assert hearing.time_passes(103.0 + LINKS_S, ONE_AWAY)
    assert hearing.is_known(HV1)
    assert hearing.is_known(HV2)


@pytest.mark.parametrize(("has_head_start", "late_s"), [(True, UNTOLD_S), (False, UNREMEMBERED_S)])
def test_nobody_waits_for_ever_for_a_host_that_never_tells(has_head_start: bool, late_s: float) -> None:
    hearing = Hearing(100.0, has_head_start)
    hearing.take(HV1)
    assert not hearing.time_passes(99.0 + late_s, ONE_AWAY)
    assert hearing.is_known(HV1) is has_head_start
    assert hearing.time_passes(100.5 + late_s, ONE_AWAY), "who waits is woken"
    assert not hearing.time_passes(101.0 + late_s, ONE_AWAY), "once"
    assert hearing.is_known(HV1)
    assert hearing.is_known(HV2)
