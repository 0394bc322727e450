"""Links: where a click may lead, and what stands in the mail for a slot. Pure.

A target is what the decision says, on a host that is allowed, with the layout's UTM parameters where it has none of
that name; anything else is the shop's front page.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

from markupsafe import escape

from api.answer import Answer, Item
from api.dress import web_link
from api.plans import Layout, Utm

_SAFE: Final = ":/%#?=@[]!$&'()*+,;~"


class Slot(NamedTuple):
    """A place for one item in a mail: its block's name in addresses, its number from 1, and its two addresses."""

    block: str
    slot: int
    open_url: str
    click_url: str


def target(url: str | None, hosts: Collection[str], utm: Utm | None) -> str | None:
    """The address a click may lead to, ready for a header; None if it may not, or is none.

    Args:
        url: as decided.
        hosts: that are allowed, `*.shop.example` for all below; none: every host.
        utm: parameters that are added; one that is there stays.
    """
    if (link := web_link(url)) is None:
        return None
    try:
        parts = urlsplit(link)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port is not None else ""
    except (ValueError, UnicodeError):
        return None
    if not host or "@" in parts.netloc or (hosts and not is_allowed(host, hosts)):
        return None
    shown = f"[{host}]" if ":" in host else host
    query = _with_utm(parts.query, utm)
    tail = (f"?{query}" if query else "") + (f"#{parts.fragment}" if parts.fragment else "")
    return f"{parts.scheme}://{shown}{port}{quote(parts.path, safe=_SAFE)}{quote(tail, safe=_SAFE)}"


def is_allowed(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is one of some, or below one that begins with `*.`."""
    host = host.lower().rstrip(".")
    return any(host == each.lower() or (each.startswith("*.") and host.endswith(each[1:].lower())) for each in hosts)


def slots_of(layout: Layout, base: str, token: str, send_id: str = "") -> list[Slot]:
    """Every slot of a layout; `send_id` goes into addresses whose token has none."""
    tail = f"?send_id={send_id}" if send_id else ""
    return [
        Slot(
            name, number, f"{base}/v1/open/{token}/{name}/{number}.png{tail}",
            f"{base}/v1/click/{token}/{name}/{number}{tail}",
        )
        for name, count in zip(block_names([plan.block for plan in layout.blocks]), _counts(layout), strict=True)
        for number in range(1, count + 1)
    ]  # fmt: skip


def block_names(kinds: Sequence[str]) -> list[str]:
    """The names of blocks in addresses: the kind, and `kind-2` for the second of a kind."""
    return [
        kind if not (before := kinds[:place].count(kind)) else f"{kind}-{before + 1}"
        for place, kind in enumerate(kinds)
    ]


def pick(answer: Answer, block: str, slot: str) -> Item | None:
    """The item in a slot; None where it is empty, or there is none such."""
    if not (slot.isascii() and slot.isdigit() and len(slot) <= 2):
        return None
    named = dict(zip(block_names([each.block for each in answer.blocks]), answer.blocks, strict=True))
    items = named[block].items if block in named else ()
    return items[int(slot) - 1] if 1 <= int(slot) <= len(items) else None


def snippet(slots: Sequence[Slot], width: int, height: int, alt: str) -> str:
    """HTML to paste into a mail: a picture in its link for every slot, two in a row.

    `alt` stands where pictures are not drawn, and is read aloud; what they show is decided when they are opened.
    """
    cells = [
        f'<td width="{width}" style="padding:0 0 16px"><a href="{escape(slot.click_url)}">'
        f'<img src="{escape(slot.open_url)}" width="{width}" height="{height}" border="0" alt="{escape(alt)}"'
        f' style="display:block;width:{width}px;max-width:100%;height:auto;border:0"></a></td>'
        for slot in slots
    ]
    rows = ['<td width="22"></td>'.join(cells[at : at + 2]) for at in range(0, len(cells), 2)]
    table = '<table role="presentation" cellpadding="0" cellspacing="0" border="0">'
    return table + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>\n"


def _counts(layout: Layout) -> list[int]:
    return [len(plan.content[: plan.count]) if plan.content else plan.count for plan in layout.blocks]


def _with_utm(query: str, utm: Utm | None) -> str:
    if utm is None:
        return query
    there = {unquote_plus(part.partition("=")[0]).lower() for part in query.split("&")}
    wanted = {f"utm_{name}": getattr(utm, name) for name in Utm.__struct_fields__}
    added = [f"{name}={quote(value, safe='')}" for name, value in wanted.items() if value and name not in there]
    return "&".join(filter(None, (query, *added)))
