"""How a bridge handles fragments is set again only where it says that somebody has set it otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from zonewall.openflow.errors import RequestRefused
from zonewall.openflow.settings import keep_settings


class Asked:
    """A session whose bridge says that; notes the types of what is sent."""

    def __init__(self, says: bytes | None) -> None:
        self.says = says
        self.sent: list[int] = []

    async def request(self, what: str, make: Callable[[int], bytes], barrier: bool = False) -> bytes:
        self.sent.append(make(1)[1])
        if self.says is None:
            raise RequestRefused(what, 1, 1)
        return self.says


@pytest.mark.parametrize(
    ("says", "sent"),
    [(b"\x00\x03\xff\xff", [7]), (b"\x00\x01\xff\xff", [7, 9]), (b"\x00\x00\x00\x00", [7, 9]), (None, [7])],
    ids=["as asked", "drops", "passes them as whole", "does not say"],
)
def test_only_what_was_set_otherwise_is_set_again(says: bytes | None, sent: list[int]) -> None:
    session = Asked(says)
    assert asyncio.run(keep_settings(session)) is (len(sent) > 1)  # type: ignore[arg-type]
    assert session.sent == sent
