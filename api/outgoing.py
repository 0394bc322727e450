"""Outgoing: the one way by which the API fetches anything, so that nobody's text makes it call what is not theirs.

A catalogue says where a photo lies, an issuer where its keys are, an envelope where a certificate is: all of it may say
that it lies behind our own firewall. So: https, no redirect; the name is looked up once, every address it has must be a
public one, and it is one of those that is called, under the name it was asked for by.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Collection, Sequence
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

from api.links import is_allowed

PORT: Final = 443
LookUp: TypeAlias = Callable[[str], Sequence[str]]
Connect: TypeAlias = Callable[[tuple[str, int], float], Any]
_TRANSLATED: Final = tuple(
    map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
)  # fmt: skip
"""Where an IPv6 address stands for the IPv4 address in its last 32 bits."""


class Refused(OSError):
    """An address from which nothing is fetched."""


def addresses_of(host: str) -> list[str]:
    """The addresses of a name, those first that are to be tried first."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Reach(NamedTuple):
    """What may be called, and by what it is found.

    Attributes:
        hosts: the only ones, `*.shop.example` for all below; None: every host.
        ports: the only ones; none: every port.
        inside: hosts that may lie in our own network.
        look_up: the addresses of a name.
        connect: to an address and a port, within some seconds.
        context: what certificates are checked by; None: what the machine trusts.
        clock: in seconds.
    """

    hosts: Collection[str] | None = None
    ports: Collection[int] = (PORT,)
    inside: Collection[str] = ()
    look_up: LookUp = addresses_of
    connect: Connect = socket.create_connection
    context: ssl.SSLContext | None = None
    clock: Callable[[], float] = time.monotonic


def get(url: str, reach: Reach, seconds: float, most_bytes: int, accept: str = "*/*") -> bytes:
    """The bytes at an address.

    Args:
        url: https.
        reach: what may be called.
        seconds: for all of it.
        most_bytes: that it may have.
        accept: what is asked for.

    Raises:
        Refused: nothing is fetched from there.
        OSError: it cannot be had in time, or is too large, or elsewhere.
    """
    until = _Until(reach.clock() + seconds, reach.clock)
    host, port, path = _checked(url, reach)
    found = reach.look_up(host)
    if not is_allowed(host, reach.inside):
        check_public(found)
    connection = _Pinned(host, port, found, reach, until)
    try:
        connection.request("GET", path, headers={"Accept": accept, "User-Agent": "Inlay"})
        with connection.getresponse() as answer:
            return _read(answer, most_bytes)
    except (HTTPException, ValueError) as error:  # a ValueError of a head that makes no sense
        raise OSError(str(error)) from error
    finally:
        connection.close()


def _read(answer: HTTPResponse, most_bytes: int) -> bytes:
    if answer.status != 200:
        raise OSError(f"it answered {answer.status}")
    content = answer.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError("it is too large")
    if answer.length:
        raise OSError("it was cut off")
    return content


def check_public(found: Sequence[str]) -> None:
    """Look at a name's addresses.

    Raises:
        Refused: not all of them are public, or there is none.
    """
    if not found or not all(map(_is_public, found)):
        raise Refused("its name leads to an address that is not a public one")


def _checked(url: str, reach: Reach) -> tuple[str, int, str]:
    """Host, port and path of an address from which may be fetched."""
    if not url.startswith("https://") or "\\" in url or not url.isprintable():
        raise Refused("only https is fetched")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port or PORT
    except (ValueError, UnicodeError):
        raise Refused("it names no host") from None
    if "@" in parts.netloc or (reach.ports and port not in reach.ports):
        raise Refused("it names a user, or a port of its own")
    if not host or (reach.hosts is not None and not is_allowed(host, reach.hosts)):
        raise Refused(f"{host or 'no host'} is none of the hosts that may be asked")
    query = f"?{parts.query}" if parts.query else ""
    return host, port, quote((parts.path or "/") + query, safe="/%?=&:@!$'()*+,;~")


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


class _Until(NamedTuple):
    """When a fetch is over, whatever has come by then."""

    at: float
    clock: Callable[[], float]

    def left(self) -> float:
        """Seconds.

        Raises:
            TimeoutError: none.
        """
        if (left := self.at - self.clock()) <= 0:
            raise TimeoutError("it took too long")
        return left


class _Timed(ssl.SSLSocket):
    """A socket whose every read has what is left of the time: who sends a byte now and then holds nobody up."""

    until: _Until

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """As that of every socket."""
        self.settimeout(self.until.left())
        return super().recv_into(buffer, nbytes, flags)


class _Pinned(HTTPSConnection):
    """A connection to one of some addresses, under the name of their host."""

    def __init__(self, host: str, port: int, found: Sequence[str], reach: Reach, until: _Until) -> None:
        trust = reach.context or ssl.create_default_context()
        trust.sslsocket_class = _Timed
        super().__init__(host, port, context=trust)
        self._found, self._connect, self._trust, self._ends = found, reach.connect, trust, until

    def connect(self) -> None:
        """Connect to what was looked at, whatever the name leads to by now."""
        plain = self._reached()
        try:
            plain.settimeout(self._ends.left())
            secured: Any = self._trust.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        secured.until = self._ends
        self.sock = secured

    def _reached(self) -> Any:
        """A connection to the first address that takes one."""
        for place, address in enumerate(self._found, start=1):
            try:
                return self._connect((address, self.port), self._ends.left() / (len(self._found) - place + 1))
            except OSError:
                if place == len(self._found):
                    raise
        raise Refused("its name leads nowhere")
