"""Editorial: stories with a picture and a link that the layout itself tells."""

from __future__ import annotations

from api.blocks.ladder import Kind

KIND = Kind(lambda known: (), fallback=(), template="story", content=True)
