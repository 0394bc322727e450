"""Rolling windows as tiles: small counters on a fixed grid of time, summed when a number is wanted.

With tile size s and n = W / s, an event at t counts in the window W at `now` while
floor(t / s) >= floor(now / s) - n. Addition commutes, so arrival order, batches and restarts change nothing, and a
window costs as much as the tiles that are not empty, however often it is read.

A tile's counts of all kinds are one whole number, `LANE` bits a kind: adding up tiles is adding up numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from dataflows.events import DAY, HOUR, MINUTE

HORIZON: Final = 90
"""Days after which no window holds an event: an older one is late."""
LANE: Final = 32
"""Bits of a kind's count in the number that a tile is; a window of four billion events of a kind would be too many."""
REMEMBERED: Final = 2**14
"""How many numbers are remembered with the counts in them."""

Counts: TypeAlias = Sequence[int]
"""How many events of each kind."""


class Level(NamedTuple):
    """Tiles of one size (microseconds), and the windows that are summed from them: name and number of tiles."""

    size: int
    windows: tuple[tuple[str, int], ...]

    @property
    def longest(self) -> int:
        """Tiles of the longest window."""
        return max(tiles for _, tiles in self.windows)


FINE: Final = Level(5 * MINUTE, (("1h", 12),))
HOURS: Final = Level(HOUR, (("24h", 24), ("7d", 168)))
DAYS: Final = Level(DAY, (("30d", 30),))

USER_LEVELS: Final = (FINE, HOURS, DAYS)
ITEM_LEVELS: Final = (FINE, HOURS)


def is_late(at: int, now: int) -> bool:
    """Whether the tile of an event at `at` has left every window at `now` (both in microseconds)."""
    return at // DAY < now // DAY - HORIZON


@cache
def _spans(levels: tuple[Level, ...]) -> tuple[tuple[int, int], ...]:
    """Of each level, how large a tile is, and how many of them its longest window holds."""
    return tuple((level.size, level.longest) for level in levels)


@cache
def _splitter(kinds: int) -> Callable[[int], Counts]:
    """What reads the counts out of a number, the first kind in the lowest lane; small ones come again and again."""
    lanes = Struct(f"<{kinds}I")
    unpack, size = lanes.unpack, lanes.size
    return lru_cache(REMEMBERED)(lambda number: unpack(number.to_bytes(size, "little")))


@lru_cache(REMEMBERED)
def coded(counts: Counts) -> tuple[int, ...]:
    """Counts as a number with a bit for each that is not 0, the first kind's the lowest, and then those."""
    mask = sum(1 << place for place, count in enumerate(counts) if count)
    return (mask, *filter(None, counts))


@lru_cache(REMEMBERED)
def _decoded(code: tuple[int, ...]) -> int:
    """The number of what `coded` coded."""
    mask, *counts = code
    lanes = [place for place in range(mask.bit_length()) if mask >> place & 1]
    return sum(count << lane * LANE for lane, count in zip(lanes, counts, strict=True))


@lru_cache(REMEMBERED)
def _joined(counts: tuple[int, ...]) -> int:
    """The number of some counts."""
    return sum(count << place * LANE for place, count in enumerate(counts))


_ONE_KIND: Final = {1 << kind: kind * LANE for kind in range(32)}
"""Of a code's first number, where its only count belongs; most tiles have one kind of events."""

NO_TILE: Final = -1
"""In the place of a tile's number where no events of one are held back."""


class Totals(NamedTuple):
    """What every window holds: counts by window name, one number a kind; and when the next tile leaves one."""

    counts: dict[str, Counts]
    due: int | None


class Tiles:
    """Counts of `kinds` kinds of events on each level's grid.

    Args:
        levels: the tile sizes and their windows.
        kinds: how many kinds are counted side by side.
    """

    __slots__ = ("_grids", "_held", "_held_at", "_held_tile", "_spans", "kinds", "levels")

    def __init__(self, levels: tuple[Level, ...], kinds: int) -> None:
        self.levels = levels
        self._spans = _spans(levels)
        self.kinds = kinds
        self._grids: list[dict[int, int]] = [{} for _ in levels]
        # Events that come one after another are most often of one tile: what they add up to is held back till then.
        self._held_tile, self._held_at, self._held = NO_TILE, 0, 0

    @property
    def grids(self) -> list[dict[int, int]]:
        """By level, the tiles that are not empty."""
        if self._held:
            self._put()
        return self._grids

    def count(self, kind: int, at: int, now: int, times: int = 1) -> None:
        """Count an event of a kind at `at`; a level whose windows the event has left stays untouched."""
        tile = at // self._spans[0][0]
        if tile != self._held_tile:
            if self._held:
                self._put()
            self._held_tile, self._held_at = tile, now
        self._held += times << kind * LANE

    def _put(self) -> None:
        """Put what was held back into the tiles."""
        held, at, now = self._held, self._held_tile * self._spans[0][0], self._held_at
        self._held_tile, self._held = NO_TILE, 0
        for (size, longest), grid in zip(self._spans, self._grids, strict=True):
            tile = at // size
            if tile >= now // size - longest:
                grid[tile] = grid.get(tile, 0) + held

    def totals(self, now: int) -> Totals:
        """The windows at `now`; tiles that no window will hold again are dropped on the way."""
        sums: dict[str, Counts] = {}
        due: int | None = None
        split = _splitter(self.kinds)
        none = split(0)
        for (size, windows), grid in zip(self.levels, self.grids, strict=True):
            current = now // size
            if grid and (first := min(grid)) < (oldest := current - windows[-1][1]):
                for tile in [tile for tile in grid if tile < oldest]:
                    del grid[tile]
                first = min(grid, default=current)
            if not grid:
                for name, _ in windows:
                    sums[name] = none
                continue
            whole = sum(grid.values())
            for name, tiles in windows:
                low, start, total = current - tiles, first, whole
                if first < low:
                    inside = [tile for tile in grid if tile >= low]
                    if not inside:
                        sums[name] = none
                        continue
                    start, total = min(inside), sum(map(grid.__getitem__, inside))
                sums[name] = split(total)
                if total:
                    leaves = (start + tiles + 1) * size
                    if due is None or leaves < due:
                        due = leaves
        return Totals(sums, due)

    def steady(self, now: int) -> int:
        """The windows that no tile has left that there is, as bits, the first level's first window the lowest.

        They hold what they held when the newest event was counted, however often they were read since.
        """
        found, bit = 0, 1
        for (size, windows), grid in zip(self.levels, self.grids, strict=True):
            if not grid:
                found |= bit * ((1 << len(windows)) - 1)
                bit <<= len(windows)
                continue
            spans = now // size - min(grid)
            for _, tiles in windows:
                if spans <= tiles:
                    found |= bit
                bit <<= 1
        return found

    def hours(self) -> Iterator[tuple[int, Counts]]:
        """The hourly tiles, oldest first: hour since 1970 and its counts."""
        split = _splitter(self.kinds)
        return ((hour, split(number)) for hour, number in sorted(self.grids[self.levels.index(HOURS)].items()))

    def merge(self, other: Tiles) -> None:
        """Count what another counted as well; both have the same levels and kinds."""
        for grid, theirs in zip(self.grids, other.grids, strict=True):
            for tile, number in theirs.items():
                grid[tile] = grid.get(tile, 0) + number

    def pack(self) -> list[dict[int, Counts]]:
        """Plain data to be stored."""
        split = _splitter(self.kinds)
        return [{tile: split(number) for tile, number in grid.items()} for grid in self.grids]

    @classmethod
    def unpack(cls, packed: Sequence[Mapping[int, Counts]], levels: tuple[Level, ...], kinds: int) -> Tiles:
        """The tiles that `pack` gave."""
        tiles = cls(levels, kinds)
        tiles._grids = [{tile: _joined(tuple(counts)) for tile, counts in grid.items()} for grid in packed]
        return tiles

    def write(self, base: int) -> list[list[int]] | None:
        """What is stored in fewer bytes: of each tile how long before `base` it is, and its counts that are not 0.

        Args:
            base: a moment near the newest event, in microseconds.
        """
        if not any(self.grids):
            return None
        split = _splitter(self.kinds)
        levels = []
        for (size, _), grid in zip(self._spans, self._grids, strict=True):
            newest, written = base // size, []
            for tile, number in grid.items():
                written.append(newest - tile)
                written += coded(split(number))
            levels.append(written)
        return levels

    def read(self, packed: Sequence[Sequence[int]], base: int) -> None:
        """Take in what `write` gave."""
        for (size, _), grid, written in zip(self._spans, self._grids, packed, strict=True):
            newest, rest = base // size, iter(written)
            for before in rest:
                mask = next(rest)
                lane = _ONE_KIND.get(mask)
                if lane is not None:
                    grid[newest - before] = next(rest) << lane
                else:
                    grid[newest - before] = _decoded((mask, *islice(rest, mask.bit_count())))
