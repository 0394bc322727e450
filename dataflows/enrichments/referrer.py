"""Referrer: where the visit came from, by the host of `properties.referrer`: search, social, mail, chat, or another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from dataflows.enrichments import Source, inside
from dataflows.events import Event

MOST_CHARACTERS: Final = 2048

SITES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "email": {
        "Gmail": ("mail.google.com", "com.google.android.gm"),
        "Outlook": ("outlook.live.com", "outlook.office.com", "outlook.office365.com"),
        "Yahoo Mail": ("mail.yahoo.com", "mail.yahoo.co.jp"),
        "AOL Mail": ("mail.aol.com",),
        "iCloud Mail": ("www.icloud.com", "icloud.com"),
        "Proton Mail": ("mail.proton.me", "mail.protonmail.com"),
        "GMX": ("navigator.gmx.net", "www.gmx.net", "www.gmx.com"),
        "WEB.DE": ("navigator.web.de", "web.de"),
        "Orange Mail": ("messagerie.orange.fr", "mail.orange.fr"),
        "Mail.ru": ("e.mail.ru",),
        "Yandex Mail": ("mail.yandex.ru", "mail.yandex.com"),
    },
    "chat": {
        "ChatGPT": ("chatgpt.com", "chat.openai.com"),
        "Perplexity": ("perplexity.ai",),
        "Gemini": ("gemini.google.com",),
        "Copilot": ("copilot.microsoft.com",),
        "Claude": ("claude.ai",),
    },
    "social": {
        "Facebook": ("facebook.com", "fb.com", "fb.me", "m.me", "com.facebook.katana"),
        "Instagram": ("instagram.com", "com.instagram.android"),
        "X": ("x.com", "twitter.com", "t.co"),
        "LinkedIn": ("linkedin.com", "lnkd.in", "com.linkedin.android"),
        "Pinterest": ("pinterest.com", "pinterest.co.uk", "pinterest.de", "pinterest.fr", "pin.it", "com.pinterest"),
        "Reddit": ("reddit.com", "redd.it", "com.reddit.frontpage"),
        "YouTube": ("youtube.com", "youtu.be"),
        "TikTok": ("tiktok.com", "com.zhiliaoapp.musically"),
        "Snapchat": ("snapchat.com",),
        "Threads": ("threads.net", "threads.com"),
        "Bluesky": ("bsky.app",),
        "WhatsApp": ("whatsapp.com", "wa.me"),
        "Telegram": ("t.me", "telegram.org", "telegram.me", "org.telegram.messenger"),
        "Discord": ("discord.com",),
        "Tumblr": ("tumblr.com",),
        "Quora": ("quora.com",),
        "VK": ("vk.com", "vk.ru"),
        "Odnoklassniki": ("ok.ru",),
        "Weibo": ("weibo.com", "weibo.cn"),
        "LINE": ("line.me",),
        "XING": ("xing.com",),
        "Hacker News": ("news.ycombinator.com",),
    },
    "search": {
        "Bing": ("bing.com",),
        "DuckDuckGo": ("duckduckgo.com",),
        "Yahoo": ("search.yahoo.com", "search.yahoo.co.jp", "yahoo.com"),
        "Ecosia": ("ecosia.org",),
        "Qwant": ("qwant.com",),
        "Startpage": ("startpage.com",),
        "Brave": ("search.brave.com",),
        "Kagi": ("kagi.com",),
        "Baidu": ("baidu.com",),
        "Sogou": ("sogou.com",),
        "Naver": ("naver.com",),
        "Daum": ("daum.net",),
        "Seznam": ("seznam.cz",),
        "AOL": ("search.aol.com",),
        "Ask": ("ask.com",),
        "Google": ("com.google.android.googlequicksearchbox",),
    },
}
"""Hosts by kind and name; what lies below a host belongs to it, and the longest that fits decides."""
ANY_ENDING: Final = {"google": ("search", "Google"), "yandex": ("search", "Yandex"), "yahoo": ("search", "Yahoo")}
"""Search engines with a domain a country: `www.google.co.uk`, `yandex.com.tr`."""
_BY_HOST: Final = {
    host: (kind, name) for kind, sites in SITES.items() for name, hosts in sites.items() for host in hosts
}


def find(event: Event) -> dict[str, Any] | None:
    """`properties.referrer_kind`: internal, email, chat, social, search or site; and `properties.referrer_name`."""
    host = _host(inside(event, "referrer", "page", "referrer"))
    if not host:
        return None
    url = event.url or inside(event, "url", "page", "url")
    if host == _host(url):
        return {"properties": {"referrer_kind": "internal"}}
    kind, name = site_of(host)
    return {"properties": {"referrer_kind": kind, "referrer_name": name}}


@lru_cache(maxsize=4096)
def site_of(host: str) -> tuple[str, str]:
    """The kind and the name of a host; one that is in no table is a site of its own name."""
    parts = host.split(".")
    for place in range(len(parts)):
        if found := _BY_HOST.get(".".join(parts[place:])):
            return found
    if len(parts) > 1 and parts[-2] in ANY_ENDING:
        return ANY_ENDING[parts[-2]]
    if len(parts) > 2 and parts[-3] in ANY_ENDING and parts[-2] in ("co", "com"):
        return ANY_ENDING[parts[-3]]
    return "site", host


def _host(address: str) -> str:
    """The host of an address, without `www.`; empty if there is none."""
    parts = address[:MOST_CHARACTERS].split("/", 3)
    return _host_of(parts[2]) if len(parts) > 2 and not parts[1] else ""


@lru_cache(maxsize=4096)
def _host_of(authority: str) -> str:
    try:
        host = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")[:253] if host.isprintable() else ""


SOURCE: Final = Source(find, None, frozenset({"referrer", "context"}))
