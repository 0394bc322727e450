"""Message: a few words that the layout itself says; a picture and a link may be missing."""

from __future__ import annotations

from api.blocks.ladder import Kind

KIND = Kind(lambda known: (), fallback=(), template="story", content=True)
