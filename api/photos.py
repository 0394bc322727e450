"""Photos of products, fetched for pictures: only from hosts that are named, only what lies on the open internet.

A catalogue is other people's text, and may say that a picture lies behind our own firewall. So: https on its own port,
a host of the list, no redirect; the name is looked up once, every address it has must be a public one, and it is that
address that is called, with the name it was asked for by.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Collection, Sequence
from http.client import HTTPException, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

from api.links import is_allowed

SECONDS: Final = 5.0
"""For all of a photo."""
MOST_BYTES: Final = 4 * 1024 * 1024
PORT: Final = 443
LookUp = Callable[[str], Sequence[str]]
_TRANSLATED: Final = tuple(
    map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
)  # fmt: skip
"""Where an IPv6 address stands for the IPv4 address in its last 32 bits."""


class Refused(ValueError):
    """An address from which nothing is fetched."""


def fetch_photo(
    url: str,
    hosts: Collection[str],
    *,
    look_up: LookUp | None = None,
    port: int = PORT,
    context: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> bytes:
    """The bytes at an address.

    Args:
        url: of the photo.
        hosts: from which photos are fetched, `*.shop.example` for all below.
        look_up: the addresses of a name.
        port: that https has.
        context: what certificates are checked by.
        clock: in seconds.

    Raises:
        Refused: nothing is fetched from there.
        OSError: it cannot be had in time, or is too large, or elsewhere.
    """
    give_up_at = clock() + SECONDS
    host, path = _checked(url, hosts, port)
    address = public_address((look_up or _addresses)(host))
    connection = _Pinned(host, address, port, context or ssl.create_default_context(), give_up_at - clock())
    try:
        connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "Inlay"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"it answered {answer.status}")
        content = bytearray()
        while chunk := answer.read1(65_536):
            content += chunk
            if len(content) > MOST_BYTES or clock() > give_up_at:
                raise OSError("it is too large, or too slow")
        return bytes(content)
    except HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def public_address(found: Sequence[str]) -> str:
    """The first of a name's addresses.

    Raises:
        Refused: not all of them are public, or there is none.
    """
    if not found or not all(map(_is_public, found)):
        raise Refused("its name leads to an address that is not a public one")
    return found[0]


def _checked(url: str, hosts: Collection[str], port: int) -> tuple[str, str]:
    """Host and path of an address from which may be fetched."""
    if not url.startswith("https://") or "\\" in url or not url.isprintable():
        raise Refused("only https is fetched")
    try:
        parts = urlsplit(url)
        host, named = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except (ValueError, UnicodeError):
        raise Refused("it names no host") from None
    if "@" in parts.netloc or named not in (None, port):
        raise Refused("it names a user, or a port of its own")
    if not host or not is_allowed(host, hosts):
        raise Refused(f"{host} is not in INLAY_IMAGE_HOSTS")
    query = f"?{parts.query}" if parts.query else ""
    return host, quote((parts.path or "/") + query, safe="/%?=&:@!$'()*+,;~")


def _addresses(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _is_public(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:  # such as one with a zone
        return False
    inner = _inner(address)
    return address.is_global and not address.is_multicast and (inner is None or _is_public(str(inner)))


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return None
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class _Pinned(HTTPSConnection):
    """A connection to one address, under the name of its host."""

    def __init__(self, host: str, address: str, port: int, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=max(0.1, timeout), context=context)
        self._address, self._trust = address, context

    def connect(self) -> None:
        """Connect to the address that was checked, whatever the name leads to by now."""
        plain: Any = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
