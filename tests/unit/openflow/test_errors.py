"""What a bridge lacks is said as that, and named."""

from __future__ import annotations

import pytest

from zonewall.openflow.errors import RequestRefused


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
