"""Where a request comes from. What a request itself says of that counts only as far as our own proxies said it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from starlette.types import Scope

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address


def read_networks(words: Iterable[str]) -> tuple[Network, ...]:
    """Networks as `10.0.0.0/8`, `2001:db8::/32` or a single address.

    Raises:
        ValueError: one is none; the message names it.
    """
    found = []
    for word in words:
        try:
            found.append(ip_network(word.strip()))
        except ValueError as error:
            raise ValueError(f"{word!r} is no network: {error}; write one such as 10.0.0.0/8") from None
    return tuple(found)


def read_address(text: str) -> Address | None:
    """The address in `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1` or `[2001:db8::1]:567`; None if it is none.

    An IPv4 address that came wrapped in IPv6 is unwrapped, so that it lies in the networks of IPv4.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def lies_in(text: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; what is no address is in none."""
    found = read_address(text)
    return found is not None and any(found in network for network in networks)


def network_of(text: str) -> str:
    """Who shares the limits of an address: its /24, or its /64 of IPv6; of what is no address, itself."""
    found = read_address(text)
    if found is None:
        return text
    return str(ip_network((found, 24 if found.version == 4 else 64), strict=False))


class Proxies:
    """The proxies in front of the service.

    Args:
        networks: where they are; whoever calls from elsewhere speaks for nobody but itself.
    """

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    def settle(self, scope: Scope) -> None:
        """Put the address and the scheme of who called the first of our proxies into a request that comes from one."""
        peer = (scope.get("client") or ("", 0))[0]
        if not self._networks or not lies_in(peer, self._networks):
            return
        hops: list[str] = []
        scheme = b""
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                hops += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                scheme = value.split(b",")[-1].strip().lower()
        scope["client"] = (self._caller(peer, hops), 0)
        if scheme in (b"http", b"https"):
            scope["scheme"] = scheme.decode()

    def _caller(self, peer: str, hops: Sequence[str]) -> str:
        """From the right, each proxy of ours vouches for what it put there; what stands further left anybody wrote."""
        caller = peer
        for hop in reversed(hops):
            found = read_address(hop)
            if found is None:
                break
            caller = str(found)
            if not any(found in network for network in self._networks):
                break
        return caller
