"""Rolling windows as tiles: small counters on a fixed grid of time, summed when a number is wanted.

With tile size s and n = W / s, an event at t counts in the window W at `now` while
floor(t / s) >= floor(now / s) - n. Addition commutes, so arrival order, batches and restarts change nothing, and a
window costs as much as the tiles that are not empty, however often it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from operator import add
from typing import Final, NamedTuple

from dataflows.events import DAY, HOUR, MINUTE

HORIZON: Final = 90
"""Days after which no window holds an event: an older one is late."""


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


NONE_OPEN: Final = -1
"""No tile: the counts that the last event opened may be gone, or others may share them."""


class Totals(NamedTuple):
    """What every window holds: counts by window name, one number a kind; and when the next tile leaves one."""

    counts: dict[str, Sequence[int]]
    due: int | None


class Tiles:
    """Counts of `kinds` kinds of events on each level's grid.

    Args:
        levels: the tile sizes and their windows.
        kinds: how many kinds are counted side by side.
    """

    __slots__ = ("_open", "_opened", "_spans", "grids", "kinds", "levels")

    def __init__(self, levels: tuple[Level, ...], kinds: int) -> None:
        self.levels = levels
        self._spans = _spans(levels)
        self.kinds = kinds
        self.grids: list[dict[int, list[int]]] = [{} for _ in levels]
        self._opened = NONE_OPEN
        self._open: list[list[int]] = []

    def count(self, kind: int, at: int, now: int, times: int = 1) -> None:
        """Count an event of a kind at `at`; a level whose windows the event has left stays untouched."""
        tile = at // self._spans[0][0]
        if tile != self._opened:
            self._opened, self._open = tile, self._at(at, now)
        for counts in self._open:
            counts[kind] += times

    def _at(self, at: int, now: int) -> list[list[int]]:
        """The counts of the tiles of an event, one a level: what comes next has most often the same ones."""
        found = []
        for (size, longest), grid in zip(self._spans, self.grids, strict=True):
            tile = at // size
            counts = grid.get(tile)
            if counts is None:
                if tile < now // size - longest:
                    continue
                counts = grid[tile] = [0] * self.kinds
            found.append(counts)
        return found

    def totals(self, now: int) -> Totals:
        """The windows at `now`; tiles that no window will hold again are dropped on the way."""
        sums: dict[str, Sequence[int]] = {}
        due: int | None = None
        nothing = (0,) * self.kinds
        self._opened = NONE_OPEN
        for (size, windows), grid in zip(self.levels, self.grids, strict=True):
            current = now // size
            if grid:
                oldest = current - windows[-1][1]
                for tile in [tile for tile in grid if tile < oldest]:
                    del grid[tile]
            for name, tiles in windows:
                low = current - tiles
                inside = [tile for tile in grid if tile >= low] if grid else None
                if not inside:
                    sums[name] = nothing
                    continue
                if len(inside) == 1:
                    (first,) = inside
                    sums[name] = grid[first]
                else:
                    first = min(inside)
                    sums[name] = list(map(sum, zip(*map(grid.__getitem__, inside), strict=True)))
                leaves = (first + tiles + 1) * size
                if due is None or leaves < due:
                    due = leaves
        return Totals(sums, due)

    def hours(self) -> Iterator[tuple[int, list[int]]]:
        """The hourly tiles, oldest first: hour since 1970 and its counts."""
        yield from sorted(self.grids[self.levels.index(HOURS)].items())

    def merge(self, other: Tiles) -> None:
        """Count what another counted as well; both have the same levels and kinds."""
        self._opened = NONE_OPEN
        for grid, theirs in zip(self.grids, other.grids, strict=True):
            for tile, counts in theirs.items():
                ours = grid.get(tile)
                grid[tile] = list(counts) if ours is None else list(map(add, ours, counts))

    def pack(self) -> list[dict[int, list[int]]]:
        """Plain data to be stored."""
        return self.grids

    @classmethod
    def unpack(cls, packed: list[dict[int, list[int]]], levels: tuple[Level, ...], kinds: int) -> Tiles:
        """The tiles that `pack` gave."""
        tiles = cls(levels, kinds)
        tiles.grids = packed
        return tiles

    def write(self, base: int) -> list[dict[int, list[int]]] | None:
        """What is stored in fewer bytes: the tiles by how long before `base` they are, which is a byte or two.

        Args:
            base: a moment near the newest event, in microseconds.
        """
        if not any(self.grids):
            return None
        grids = zip(self._spans, self.grids, strict=True)
        return [{base // size - tile: counts for tile, counts in grid.items()} for (size, _), grid in grids]

    def read(self, packed: list[dict[int, list[int]]], base: int) -> None:
        """Take in what `write` gave."""
        grids = zip(self._spans, packed, strict=True)
        self.grids = [{base // size - since: counts for since, counts in grid.items()} for (size, _), grid in grids]
