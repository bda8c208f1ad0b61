"""What a bridge lacks is said as that, and named."""

from __future__ import annotations

import pytest

from zonewall.flows.encoded import EncodedFlow
from zonewall.openflow.errors import Refusal, RequestRefused


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        (1, 1, "the bridge lacks support for bundles: BAD_REQUEST/BAD_TYPE; it takes Open vSwitch 2.17"),
        (1, 2, "the bridge lacks support for bundles: BAD_REQUEST/BAD_MULTIPART"),
        (1, 5, "the bridge refused bundles: BAD_REQUEST/EPERM"),
        (17, 3, "the bridge refused bundles: BUNDLE_FAILED/BUNDLE_EXIST"),
        (0x1234, 77, "the bridge refused bundles: type 4660/code 77"),
    ],
)
def test_a_refusal_says_what_is_refused_and_whether_the_bridge_knows_it_at_all(
    kind: int, code: int, said: str
) -> None:
    assert str(RequestRefused("bundles", kind, code)).startswith(said)


@pytest.mark.parametrize(
    ("kind", "code", "is_its"),
    [
        (4, 6, True),
        (4, 99, True),
        (0xFFFF, 99, True),
        (0x1234, 77, True),
        (1, 99, True),
        (1, 5, False),
        (17, 13, False),
        (0, 99, False),
        (11, 99, False),
    ],
)
def test_an_error_without_a_name_here_is_about_the_flow_that_it_came_for_unless_it_is_about_a_session(
    kind: int, code: int, is_its: bool
) -> None:
    flow = EncodedFlow(1, 1, b"", b"", cookie=7)
    assert Refusal("a flow", kind, code, flow).is_about_the_flow == is_its
    assert not Refusal("a deletion", kind, code, flow.key).is_about_the_flow
    assert not Refusal("the bundle", kind, code, None).is_about_the_flow
