"""Keys from the terminal: made, listed, rotated, revoked. `python -m api.keys`.

A key is shown once, on standard output and alone there, so that it can be piped into where it belongs.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Final

import redis

from api.access import SCOPES
from api.audit import Audit
from api.keyring import OVERLAP, Key, KeyRefused, KeyRing
from api.problems import Problem
from dataflows.connectors.letters import connect_keeper
from dataflows.settings import SettingError, read_settings

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m api.keys create|list|rotate|revoke`."""
    chosen = _arguments(arguments)
    try:
        settings = read_settings(os.environ)
        return asyncio.run(_run(chosen, settings["redis_url"], settings["audit_keep"]))
    except (SettingError, KeyRefused, argparse.ArgumentTypeError) as error:
        return _say(str(error), 2)
    except Problem as problem:
        return _say(problem.detail, 1)
    except (redis.RedisError, OSError) as error:
        return _say(f"{error}; nothing was changed", 1)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m api.keys", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    creating = verbs.add_parser("create", help="make a key, and show it once")
    creating.add_argument("name", help="who uses it, such as 'Braze, production'")
    creating.add_argument("--scope", nargs="+", action="extend", required=True, choices=SCOPES, help="what it may do")
    creating.add_argument("--network", nargs="+", action="extend", default=[], help="from where; such as 10.0.0.0/8")
    creating.add_argument("--ends-in", type=seconds_of, default=0, metavar="90d", help="after which it is over")
    creating.add_argument("--rate", default="", metavar="600/minute", help="how often it may call")
    listing = verbs.add_parser("list", help="the keys that are good")
    listing.add_argument("--all", action="store_true", help="those that are over, too")
    rotating = verbs.add_parser("rotate", help="make another key of the same kind; both are good for a while")
    rotating.add_argument("key_id", help="such as inl_0a1b2c3d4e5f")
    rotating.add_argument("--overlap", type=seconds_of, default=OVERLAP, metavar="7d", help="how long (default: 7d)")
    revoking = verbs.add_parser("revoke", help="let a key be over, within two seconds, for good")
    revoking.add_argument("key_id")
    return parser.parse_args(arguments)


async def _run(chosen: argparse.Namespace, redis_url: str, audit_keep: int) -> int:
    client = connect_keeper(redis_url)
    ring, audit = KeyRing(client), Audit(client, audit_keep)
    who = f"{getpass.getuser()} on the command line"
    try:
        if chosen.verb == "list":
            return _list(await ring.keys(), await ring.used(), chosen.all)
        about = chosen.name if chosen.verb == "create" else chosen.key_id
        await audit.note(who, "", f"keys {chosen.verb}", about)
        if chosen.verb == "revoke":
            key = await ring.revoke(chosen.key_id)
            return _say(f"{key.key_id} ({key.name}) is over", 0)
        if chosen.verb == "create":
            key, shown = await ring.create(chosen.name, chosen.scope, chosen.network, chosen.ends_in, chosen.rate)
        else:
            key, shown = await ring.rotate(chosen.key_id, chosen.overlap)
            _say(f"{chosen.key_id} is good for {chosen.overlap / 86_400:g} more days, or until it is revoked", 0)
        _say(f"{key.key_id} may {', '.join(key.scopes)}; the key is shown this once:", 0)
        _print(shown)
        return 0
    finally:
        await client.aclose(close_connection_pool=True)


def _list(keys: Sequence[Key], used: dict[str, int], everything: bool) -> int:
    now = time.time()
    shown = [key for key in keys if everything or key.is_good(now)]
    if shown:
        _print(f"{'id':<17} {'may':<19} {'last used':<17} {'ends':<17} {'rate':<12} name, networks")
    for key in shown:
        ends = "revoked" if key.revoked_at else _moment(key.ends_at) if key.ends_at else "never"
        last = _moment(used[key.key_id]) if key.key_id in used else "never"
        where = f", from {' '.join(key.networks)}" if key.networks else ""
        _print(
            f"{key.key_id:<17} {' '.join(key.scopes):<19} {last:<17} {ends:<17} {key.rate or '-':<12} {key.name}{where}"
        )
    _print(f"{len(shown):,} keys")
    return 0


def seconds_of(text: str) -> float:
    """Seconds, from `90s`, `30m`, `12h` or `7d`.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 90s, 30m, 12h or 7d")
    return float(int(found[1]) * UNITS[found[2]])


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%MZ")


def _print(text: str) -> None:
    print(text)  # noqa: T201  # a command speaks on its terminal


def _say(text: str, code: int) -> int:
    print(f"keys: {text}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
