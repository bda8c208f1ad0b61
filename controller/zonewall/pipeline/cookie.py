"""Cookies: whose a flow is, what it is for, and which rule it stands for.

64 bits: owner 16 (0x5A57), category 8, layout 8, rule number 32. The cookie is provenance, never identity.
Every version has owner and layout there, and reads the rest of its own layout's cookies only.
"""

from __future__ import annotations

from enum import IntEnum

from zonewall.pipeline.layout import LAYOUT

OWNER = 0x5A57
OF_A_KIND = 0xFFFFFFFF << 32
"""Mask for all flows of one category of this layout, whichever rule they stand for."""


class Category(IntEnum):
    """What a flow is for."""

    STATIC = 1
    PORT = 2
    GUARD = 3
    WHO = 4
    TRACK = 5
    RULE = 6
    MODIFIER = 7
    MIRROR = 8
    SERVICE = 9
    DELIVERY = 10
    ISOLATION = 11
    TAKE_UP = 12
    REFUSED = 13
    CONNECTION = 14
    CONNECTION_LOG = 15


class Reason(IntEnum):
    """First byte of the userdata of what is sent to the controller.

    A version that takes over is sent frames by an older one's flows until its own are there: a number is
    never given another meaning.
    """

    ANNOUNCEMENT = 1
    DISCOVERY = 2
    REJECT = 3
    SPOKE = 4
    DHCP = 5
    ADDRESS = 6
    PROBE = 7
    CUT = 8
    GIVEN_UP = 9
    ISOLATED = 10


def cookie(category: Category, rule: int = 0) -> int:
    """Return the cookie of a flow of this category that stands for a rule (0: none)."""
    return OWNER << 48 | category << 40 | (LAYOUT & 0xFF) << 32 | rule


def is_ours(value: int) -> bool:
    """Say whether a cookie is of zonewall's."""
    return value >> 48 == OWNER


def is_of_another_layout(value: int) -> bool:
    """Say whether a cookie is of a flow that a version of zonewall with another layout put, or had made."""
    return is_ours(value) and value >> 32 & 0xFF != LAYOUT & 0xFF


def is_of_a_row(value: int) -> bool:
    """Say whether a cookie is that of rows which a bridge makes by itself, by flows of this layout."""
    return category_of(value) is Category.CONNECTION


def rule_of(value: int) -> int:
    """Return the rule number in a cookie, 0 for none."""
    return value & 0xFFFFFFFF


def category_of(value: int) -> Category | None:
    """Return the category in one of our cookies, None if it is none that this version knows."""
    number = value >> 40 & 0xFF
    is_known = is_ours(value) and not is_of_another_layout(value) and number in Category.__members__.values()
    return Category(number) if is_known else None
