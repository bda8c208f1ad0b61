"""A frozen mapping of which a changed copy costs little: entries are spread over small dictionaries.

Those stand in sixteen groups of sixteen, so that a change copies one dictionary and 32 references.
"""

from __future__ import annotations

import zlib
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from itertools import chain
from typing import TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_GROUPS = _OF_ONE = 16
_BITS = 4
_RECENT = 16
"""How many changes a mapping remembers: what it is asked for is mostly what the last one or two were."""


class FrozenMap(Mapping[K, V]):
    """A read-only mapping; ``put`` and ``drop`` return another and leave this one as it is.

    A change copies one shard and its group: microseconds up to 100,000 entries. The order of
    iteration depends on keys and history; whoever needs an order sorts.
    """

    __slots__ = ("_groups", "_itself", "_length", "_recent")

    def __init__(self) -> None:
        """Make an empty one."""
        self._groups: tuple[tuple[dict[K, V], ...], ...] = (({},) * _OF_ONE,) * _GROUPS
        self._length = 0
        self._itself = object()
        # The keys that were changed last, each with what stands for the mapping before: no mapping is kept.
        self._recent: tuple[tuple[object, K], ...] = ()

    @staticmethod
    def of(entries: Mapping[K, V]) -> FrozenMap[K, V]:
        """Return a mapping of many entries at once; cheaper than to put one after the other."""
        groups: list[list[dict[K, V]]] = [[{} for _ in range(_OF_ONE)] for _ in range(_GROUPS)]
        for key, value in entries.items():
            number = _shard(key)
            groups[number >> _BITS][number % _OF_ONE][key] = value
        whole: FrozenMap[K, V] = FrozenMap()
        whole._groups, whole._length = tuple(map(tuple, groups)), len(entries)
        return whole

    def _shards(self) -> Iterator[dict[K, V]]:
        return chain.from_iterable(self._groups)

    def _of(self, key: K) -> dict[K, V]:
        number = _shard(key)
        return self._groups[number >> _BITS][number % _OF_ONE]

    def changed_since(self, before: FrozenMap[K, V]) -> list[K]:
        """Return the keys that are there in one of the two only, or whose values are not the same object.

        A few changes cost their number; many cost the shards, and the sizes of those that differ.
        """
        if before is self:
            return []
        for place, (itself, _) in enumerate(self._recent):
            if itself is before._itself:
                recent = dict.fromkeys([key for _, key in self._recent[place:]])
                return [key for key in recent if self._differs(before, key)]
        found: list[K] = []
        groups = zip(self._groups, before._groups, strict=True)
        others = (zip(now, then, strict=True) for now, then in groups if now is not then)
        for now, then in chain.from_iterable(others):
            if now is not then:
                found += [key for key, value in now.items() if key not in then or then[key] is not value]
                found += [key for key in then if key not in now]
        return found

    def _differs(self, other: FrozenMap[K, V], key: K) -> bool:
        now, then = self._of(key), other._of(key)
        if key not in now or key not in then:
            return (key in now) is not (key in then)
        return now[key] is not then[key]

    def __getitem__(self, key: K) -> V:
        """Return the value of a key, or raise KeyError."""
        number = _shard(key)
        return self._groups[number >> _BITS][number % _OF_ONE][key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: V | D | None = None) -> V | D | None:
        """Return the value of a key, without an error raised and caught where there is none."""
        return self._of(key).get(key, default)

    def __iter__(self) -> Iterator[K]:
        """Yield every key."""
        return chain.from_iterable(self._shards())

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._length

    def items(self) -> ItemsView[K, V]:
        """Return every entry, without a look-up of each."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return every value, without a look-up of each."""
        return _Values(self)

    def __eq__(self, other: object) -> bool:
        """Say whether both have the same entries; quick where they share most of them."""
        if isinstance(other, FrozenMap):
            return self._groups == other._groups
        return NotImplemented if not isinstance(other, Mapping) else dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def put(self, key: K, value: V) -> FrozenMap[K, V]:
        """Return a mapping with the entry; this very one where it is there already."""
        number = _shard(key)
        shard = self._groups[number >> _BITS][number % _OF_ONE]
        if key in shard and shard[key] == value:
            return self
        return self._with(number, {**shard, key: value}, key)

    def drop(self, key: K) -> FrozenMap[K, V]:
        """Return a mapping without the key; this very one where it is not there."""
        number = _shard(key)
        shard = self._groups[number >> _BITS][number % _OF_ONE]
        if key not in shard:
            return self
        rest = {known: value for known, value in shard.items() if known != key}
        return self._with(number, rest, key)

    def _with(self, number: int, shard: dict[K, V], key: K) -> FrozenMap[K, V]:
        copy: FrozenMap[K, V] = FrozenMap()
        copy._recent = (*self._recent[1 - _RECENT :], (self._itself, key))
        groups = list(self._groups)
        group = list(groups[number >> _BITS])
        before, group[number % _OF_ONE] = group[number % _OF_ONE], shard
        groups[number >> _BITS] = tuple(group)
        copy._groups = tuple(groups)
        copy._length = self._length + len(shard) - len(before)
        return copy


class _Items(ItemsView[K, V]):
    def __init__(self, entries: FrozenMap[K, V]) -> None:
        super().__init__(entries)
        self._entries = entries

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return chain.from_iterable(map(dict.items, self._entries._shards()))


class _Values(ValuesView[V]):
    def __init__(self, entries: FrozenMap[K, V]) -> None:
        super().__init__(entries)
        self._entries = entries

    def __iter__(self) -> Iterator[V]:
        return chain.from_iterable(map(dict.values, self._entries._shards()))


def _shard(key: object) -> int:
    """Return the shard of a key, the same in every process (``hash`` of a string is not)."""
    return zlib.crc32(str(key).encode("utf-8", "surrogatepass")) % (_GROUPS * _OF_ONE)
