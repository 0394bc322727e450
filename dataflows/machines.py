"""Machines that open mails and click in them: a verdict with its reasons, so that features may count people only.

The event itself is kept as it came. Any one reason makes it a machine's, as Snowplow has it; the verdict goes into
the event's properties as `machine: true` and `machine_reasons`, where whoever doubts a reason can look.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple

from dataflows.events import SECOND, Event

MACHINE_MADE: Final = frozenset({"email_open", "email_click"})
"""Types that a machine may cause. `machine` among the properties of any other says nothing to us."""
SAID: Final = "platform_says_machine"
"""The property by which a platform's own verdict comes to `Watch`."""

TOO_FAST: Final = 3 * SECOND
"""An open or a click sooner after the mail's delivery than this is a scanner's, or an image fetched in advance."""
BURST: Final = 3
"""So many different links of one mail, clicked within BURST_SPAN of one another, are a scanner's."""
BURST_SPAN: Final = 1 * SECOND
MOST_MAILS: Final = 100_000
MOST_CLICKS: Final = 32

USER_AGENTS: Final[tuple[tuple[str, str], ...]] = (
    ("googleimageproxy", "image_proxy"),
    ("yahoomailproxy", "image_proxy"),
    ("edge/12.", "image_prefetch"),  # Gmail fetches on receipt with this one browser of 2015
    ("microsoft office existence discovery", "security_scanner"),
    ("safelinks", "security_scanner"),
    ("barracuda", "security_scanner"),
    ("mimecast", "security_scanner"),
    ("proofpoint", "security_scanner"),
    ("ironport", "security_scanner"),
    ("headlesschrome", "automation"),
    ("python-requests", "automation"),
    ("go-http-client", "automation"),
    ("curl/", "automation"),
    ("wget/", "automation"),
    ("bot/", "automation"),
    ("crawler", "automation"),
    ("spider", "automation"),
)
"""What a user agent contains, in lower case, and what that makes it."""
APPLE_MPP: Final = ("mozilla/5.0", "apple_mpp")
"""Apple's Mail Privacy Protection leaves no more than this of a user agent."""
NETWORKS: Final[tuple[tuple[str, str], ...]] = (
    ("66.249.80.0/20", "image_proxy"),  # Google
    ("66.102.0.0/20", "image_proxy"),
    ("17.0.0.0/8", "apple_mpp"),
    ("64.235.144.0/20", "security_scanner"),  # Barracuda
    ("209.222.80.0/21", "security_scanner"),
    ("67.231.144.0/20", "security_scanner"),  # Proofpoint
    ("148.163.128.0/19", "security_scanner"),
    ("205.220.160.0/20", "security_scanner"),
    ("205.139.110.0/23", "security_scanner"),  # Mimecast
    ("207.211.30.0/23", "security_scanner"),
    ("40.94.0.0/16", "security_scanner"),  # Microsoft
)
"""Networks from which no person reads mail."""
_NETWORKS: Final[tuple[tuple[IPv4Network | IPv6Network, str], ...]] = tuple(
    (ip_network(network), reason) for network, reason in NETWORKS
)


def is_machine(event: Event) -> bool:
    """Whether an event is an open or a click that a machine made: by its verdict, else by what is known of it.

    What did not come through a webhook has none, unless the sender knows better and says `machine` itself.
    """
    if event.type not in MACHINE_MADE:
        return False
    properties = event.properties
    verdict = properties.get("machine")
    if isinstance(verdict, bool) or not properties:
        return verdict is True
    context = properties.get("context")
    places = (properties, context) if isinstance(context, dict) else (properties,)
    agents = [place[name] for place in places for name in ("user_agent", "userAgent") if name in place]
    addresses = [place["ip"] for place in places if "ip" in place]
    return bool(reasons_of(_first_text(agents), _first_text(addresses)))


def _first_text(found: Sequence[Any]) -> str:
    return next((each for each in found if isinstance(each, str)), "")


def reasons_of(user_agent: str, ip: str) -> list[str]:
    """Why an open or a click with this user agent from this address, is a machine's; empty if it may be a person's."""
    agent = user_agent.strip().lower()
    found = [reason for part, reason in USER_AGENTS if part in agent]
    if agent == APPLE_MPP[0]:
        found.append(APPLE_MPP[1])
    try:
        address = ip_address(ip.strip()) if ip else None
    except ValueError:  # what a platform calls an address need not be one
        address = None
    if address is not None:
        found += [reason for network, reason in _NETWORKS if address in network]
    return list(dict.fromkeys(found))


class _Mail(NamedTuple):
    """What is remembered of one mail: when it was delivered (0: unknown), and its last clicks, time and link."""

    delivered_at: int
    clicks: tuple[tuple[int, str], ...]


class Watch:
    """Judges opens and clicks also by what else happened to the same mail, as far as this process saw it.

    It remembers a bounded number of mails, the newest. What it has forgotten, or another process saw, costs a reason
    and never a wrong one.

    Args:
        most: how many mails are remembered.
    """

    def __init__(self, most: int = MOST_MAILS) -> None:
        self._mails: OrderedDict[tuple[str, str], _Mail] = OrderedDict()
        self._most = most

    def judge(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The events of one delivery, those made by a machine marked so in their properties.

        Args:
            events: as they go to the collector, so not judged yet. What is looked at: `type`, `occurred_at` in
                microseconds, `user_id`, `send_id`, `url`, and in `properties` `message`, `user_agent` and `ip`.
        """
        for event in events:
            self._remember(event)
        return [self._judged(event) for event in events]

    @property
    def readers(self) -> set[str]:
        """To whom the mails are that are remembered."""
        return {whose for _, whose in self._mails}

    def forget(self, readers: Collection[str]) -> int:
        """Drop what is remembered of mails to some; how many those were."""
        gone = [key for key in self._mails if key[1] in readers]
        for key in gone:
            del self._mails[key]
        return len(gone)

    def _remember(self, event: Mapping[str, Any]) -> None:
        kind, at = event.get("type"), event.get("occurred_at")
        if kind not in ("email_delivered", "email_click") or not isinstance(at, int):
            return
        for key in _names_of(event):
            mail = self._mails.pop(key, _Mail(0, ()))
            if kind == "email_delivered":
                mail = mail._replace(delivered_at=at)
            else:
                mail = mail._replace(clicks=(*mail.clicks, (at, str(event.get("url", ""))))[-MOST_CLICKS:])
            self._mails[key] = mail
            if len(self._mails) > self._most:
                self._mails.popitem(last=False)

    def _judged(self, event: Mapping[str, Any]) -> dict[str, Any]:
        kind, properties = event.get("type"), event.get("properties") or {}
        if kind not in tuple(MACHINE_MADE) or not isinstance(properties, dict):
            return dict(event)
        properties = dict(properties)
        reasons = ["platform"] if properties.pop(SAID, False) else []
        reasons += reasons_of(str(properties.get("user_agent", "")), str(properties.get("ip", "")))
        known = [mail for key in _names_of(event) if (mail := self._mails.get(key)) is not None]
        if known and isinstance(at := event.get("occurred_at"), int):
            if any(mail.delivered_at and 0 <= at - mail.delivered_at < TOO_FAST for mail in known):
                reasons.append("too_fast")
            clicks = [click for mail in known for click in mail.clicks]
            near = {url for clicked_at, url in clicks if abs(clicked_at - at) <= BURST_SPAN}
            if kind == "email_click" and len(near) >= BURST:
                reasons.append("many_links_at_once")
        if reasons:
            properties |= {"machine": True, "machine_reasons": reasons}
        return {**event, "properties": properties} if properties else dict(event)


def _names_of(event: Mapping[str, Any]) -> set[tuple[str, str]]:
    """What a mail is known by: the platform's name of the message, and ours of the send, to one reader each."""
    properties = event.get("properties")
    message = properties.get("message") if isinstance(properties, dict) else None
    whose = str(event.get("user_id") or event.get("anonymous_id") or "")
    named = {str(name) for name in (message, event.get("send_id")) if name}
    return {(name, whose) for name in named or {""}}
