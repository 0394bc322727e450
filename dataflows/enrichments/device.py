"""Device: desktop, mobile, tablet, tv or bot, by the user agent, as ua-parser's rules of the community read it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from dataflows.enrichments import Source, inside
from dataflows.events import Event

MOST_CHARACTERS: Final = 512
"""Of a user agent; whoever sends more hides something behind it."""
_DESKTOP: Final = frozenset({"Windows", "Mac OS X", "Linux", "Ubuntu", "Debian", "Fedora", "Chrome OS", "FreeBSD"})
_MOBILE: Final = frozenset({"iOS", "Windows Phone", "KaiOS", "BlackBerry OS", "HarmonyOS"})
_TV: Final = frozenset({"Tizen", "Web0S", "tvOS", "Roku", "FireOS TV", "Android TV", "Chromecast"})


def find(event: Event) -> dict[str, Any] | None:
    """`device`, by `properties.user_agent` or Segment's `context.userAgent`."""
    if event.device is not None:
        return None
    device = device_of(inside(event, "user_agent", "userAgent")[:MOST_CHARACTERS])
    return {"device": device} if device else None


@lru_cache(maxsize=8192)
def device_of(user_agent: str) -> str | None:
    """The form of the device, or None where the user agent does not tell.

    The first call prepares the rules, which takes a quarter of a second in which no other thread runs; later
    ones take less than a millisecond, remembered ones nothing.
    """
    if not user_agent:
        return None
    from ua_parser import parse  # here, since it prepares its rules when it is first used

    found = parse(user_agent[:MOST_CHARACTERS])
    system = found.os.family if found.os else ""
    brand, model = (found.device.brand or "", found.device.family) if found.device else ("", "")
    lower = user_agent.lower()
    if brand == "Spider" or model == "Spider":
        return "bot"
    if system in _TV or "smart-tv" in lower or "smarttv" in lower or "appletv" in lower:
        return "tv"
    if model.startswith("iPad") or "tablet" in lower or (system == "Android" and "mobile" not in lower):
        return "tablet"
    if system == "Android" or system in _MOBILE:
        return "mobile"
    return "desktop" if system in _DESKTOP else None


SOURCE: Final = Source(find, None, frozenset({"user_agent", "context"}))
