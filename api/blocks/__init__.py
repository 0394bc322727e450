"""The kinds of blocks, one file each. A new kind is a file here and a line in `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.blocks import abandoned_cart, bestsellers, recently_viewed, recommended, trending
from api.blocks.ladder import Kind

KINDS: Final[Mapping[str, Kind]] = {
    "recently_viewed": recently_viewed.KIND,
    "abandoned_cart": abandoned_cart.KIND,
    "recommended": recommended.KIND,
    "trending": trending.KIND,
    "bestsellers": bestsellers.KIND,
}
