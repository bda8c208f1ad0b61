"""Links are found by signed frames, eagerly at first, and are forgotten when nobody speaks of them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from zonewall.placement.model import BridgeKey, Link
from zonewall.reconciler.links import EAGER_ROUNDS, EAGER_S, TTL_S, LinkFinder
from zonewall.values.names import BridgeName, DatapathId, HostName, OfPort

ONE = BridgeKey(HostName("hv1"), BridgeName("br-int"))
TWO = BridgeKey(HostName("hv2"), BridgeName("br-int"))
IDS = {DatapathId(0xA1): ONE, DatapathId(0xA2): TWO}
KEY = b"a key of the controller's own!!!"
PORT = OfPort(7)
BOTH = {ONE, TWO}


def greet(finder: LinkFinder, at: float) -> bool:
    """Let each end hear the other; say whether the links changed."""
    first = finder.heard((TWO, PORT), finder.frame(DatapathId(0xA1), PORT, at), IDS, at)
    second = finder.heard((ONE, PORT), finder.frame(DatapathId(0xA2), PORT, at), IDS, at)
    return first or second


def test_a_link_is_live_once_both_ends_have_heard_each_other() -> None:
    finder = LinkFinder(KEY)
    assert not finder.heard((TWO, PORT), finder.frame(DatapathId(0xA1), PORT, 1.0), IDS, 1.0)
    assert finder.links == frozenset()
    assert finder.heard((ONE, PORT), finder.frame(DatapathId(0xA2), PORT, 1.0), IDS, 1.0)
    assert finder.links in ({Link((ONE, PORT), (TWO, PORT))}, {Link((TWO, PORT), (ONE, PORT))})


def test_a_frame_signed_with_another_key_is_no_link() -> None:
    finder, liar = LinkFinder(KEY), LinkFinder(b"somebody else's key, as long")
    assert not finder.heard((TWO, PORT), liar.frame(DatapathId(0xA1), PORT, 1.0), IDS, 1.0)
    assert not finder.heard((ONE, PORT), liar.frame(DatapathId(0xA2), PORT, 1.0), IDS, 1.0)
    assert finder.links == frozenset()


def speak_in_vain(
    finder: LinkFinder, times: Iterable[float], bridges: Iterable[BridgeKey] = (ONE, TWO)
) -> None:
    """Have frames leave certainly, each answered for a tenth of a second later."""
    for at in times:
        for bridge in bridges:
            finder.left((bridge, PORT), at, at + 0.1)


def test_a_link_that_is_not_heard_of_is_forgotten() -> None:
    finder = LinkFinder(KEY)
    assert greet(finder, 1.0)
    speak_in_vain(finder, (4.0, 7.0, 10.0, 13.0))
    assert not finder.expire(1.0 + TTL_S - 0.1)
    assert finder.expire(1.0 + TTL_S + 0.1)
    assert finder.links == frozenset()


def test_a_wire_that_is_broken_one_way_is_no_link() -> None:
    finder = LinkFinder(KEY)
    assert greet(finder, 1.0)
    for at in (4.0, 7.0, 10.0, 13.0):
        finder.heard((TWO, PORT), finder.frame(DatapathId(0xA1), PORT, at), IDS, at)
        speak_in_vain(finder, [at])
    assert finder.expire(13.5)


@pytest.mark.parametrize("deaf", [ONE, TWO])
def test_silence_while_a_bridge_cannot_be_spoken_to_says_nothing_of_its_links(deaf: BridgeKey) -> None:
    """Its session stands, the network to it is cut: nothing leaves, or nothing that it hears is told."""
    finder = LinkFinder(KEY)
    assert greet(finder, 1.0)
    (other,) = BOTH - {deaf}
    speak_in_vain(finder, (4.0, 7.0, 10.0, 13.0, 16.0), [other])
    assert not finder.expire(17.0)
    speak_in_vain(finder, (17.5, 18.0))
    assert not finder.expire(18.5)
    assert greet(finder, 19.0) is False
    assert len(finder.links) == 1


def test_a_new_port_is_asked_often_at_first_and_then_seldom() -> None:
    finder = LinkFinder(KEY)
    asked = [at / 100 for at in range(0, 1000) if finder.due([(ONE, PORT)], BOTH, at / 100)]
    assert len([at for at in asked if at < EAGER_S * EAGER_ROUNDS]) == EAGER_ROUNDS
    assert len(asked) <= EAGER_ROUNDS + 4


def test_a_port_that_went_takes_its_link_along() -> None:
    finder = LinkFinder(KEY)
    finder.due([(ONE, PORT), (TWO, PORT)], BOTH, 1.0)
    assert greet(finder, 1.0)
    finder.due([(TWO, PORT)], BOTH, 1.5)
    assert finder.links == frozenset()
    assert finder.expire(1.5), "whoever asks is told so"
    assert not finder.expire(1.6), "once"


def test_a_remembered_link_whose_port_is_another_by_now_is_gone_as_soon_as_its_host_has_told_so() -> None:
    finder, other = LinkFinder(KEY), OfPort(8)
    finder.remember(frozenset({Link((ONE, PORT), (TWO, PORT))}), 1.0)
    finder.due([(TWO, PORT)], BOTH, 1.1, lambda key: key == TWO)
    assert finder.links, "nobody has told yet what the first bridge has"
    assert not finder.expire(1.1)
    finder.due([(ONE, other), (TWO, PORT)], BOTH, 1.2, lambda _: True)
    assert finder.links == frozenset()
    assert finder.expire(1.2)


def test_a_link_whose_cable_is_pulled_is_gone_at_once_and_asked_for_often_when_it_is_back() -> None:
    finder = LinkFinder(KEY)
    for at in range(10):
        finder.due([(ONE, PORT), (TWO, PORT)], BOTH, float(at))
    assert greet(finder, 10.0)
    assert finder.carrier((ONE, PORT), is_up=False)
    assert finder.links == frozenset()
    assert not finder.carrier((ONE, PORT), is_up=True)
    assert (ONE, PORT) in finder.due([(ONE, PORT), (TWO, PORT)], BOTH, 10.2)
    assert (ONE, PORT) in finder.due([(ONE, PORT), (TWO, PORT)], BOTH, 10.2 + EAGER_S)


def test_the_links_of_a_bridge_that_is_away_are_kept_and_are_asked_for_again_once_it_is_back() -> None:
    finder, ports = LinkFinder(KEY), [(ONE, PORT), (TWO, PORT)]
    finder.due(ports, BOTH, 1.0)
    assert greet(finder, 1.0)
    assert (TWO, PORT) not in finder.due(ports, {ONE}, 1.5)
    speak_in_vain(finder, (4.0, 7.0, 10.0, 13.0), [ONE])
    assert not finder.expire(1.0 + TTL_S + 60)
    speak_in_vain(finder, (80.0, 81.0))
    assert not finder.expire(82.0)
    speak_in_vain(finder, (83.0, 86.0))
    assert finder.expire(87.0)
    assert finder.links == frozenset()
