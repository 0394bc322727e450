"""Identities: what a partition's users are to one another and to those of other partitions, told by messages.

A device's owner knows its log and its links, an alias's owner what it came to. Who counts their events is told that
something changed, and reads it where it lies: the state was committed with the message, so it is never older.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

from dataflows.aggregates.identity import Identity, origin_of, part_name
from dataflows.aggregates.log import is_overgrown, newest, read, write
from dataflows.aggregates.merging import contribution
from dataflows.aggregates.people import Fact, User
from dataflows.events import Event
from dataflows.inbox import Aliased, Changed, Inbox, Linked, Message, posted
from dataflows.stages import Command

ReadUsers: TypeAlias = Callable[[Collection[str]], Mapping[str, User]]
"""How the stored states of ids are read, whoever owns them."""

LINKING: Final = frozenset({"identify", "sign_up", "email_click"})
"""Types that link a device to a user where they name both."""


class Identities:
    """One partition's side of it. What is to be told collects until `commands` puts it into a commit.

    Args:
        inbox: what others tell this partition.
        stored: reads what was committed.
        partitions: how many the stream has.
    """

    def __init__(self, inbox: Inbox, stored: ReadUsers, partitions: int) -> None:
        self._inbox, self._stored, self._partitions = inbox, stored, partitions
        self._told: dict[Message, None] = {}

    def note(self, key: str, user: User, event: Event, facts: Mapping[str, Fact]) -> None:
        """An event that names a device, or may name another id, was applied to `user`."""
        if event.user_id is None:
            self._log(key, user, event, facts)
            return
        if event.type in LINKING and event.anonymous_id not in (None, key):
            self._tell(Linked(str(event.anonymous_id), key, event.at))
        if event.type == "identify" and (previous := _previous_id(event)) not in ("", key):
            self._tell(Aliased(previous, key, event.at))

    def changed(self, key: str, user: User) -> None:
        """Events were applied to `user`: tell those it is an alias of."""
        for target in user.identity.targets if user.identity is not None else ():
            self._tell(Changed(target, key))

    def read(self) -> list[Message]:
        """What others tell, a bounded number of messages; `take` acts on them."""
        return self._inbox.read()

    def take(self, messages: Iterable[Message], users: Mapping[str, User]) -> set[str]:
        """Act on messages; the ids whose states changed.

        Args:
            messages: as `read` gave them.
            users: the states of everyone they go to.
        """
        touched: set[str] = set()
        changed = {message: None for message in messages if isinstance(message, Changed)}
        for message in messages:
            if not isinstance(message, Changed):
                act = self._link if isinstance(message, Linked) else self._alias
                if act(message, users[message.to]):
                    touched.add(message.to)
        origins = self._stored({origin_of(message.part)[0] for message in changed}) if changed else {}
        for message in changed:
            if self._replace(message, users[message.to], origins):
                touched.add(message.to)
        return touched

    def taken(self) -> list[Command]:
        """What takes the messages out that `read` gave."""
        return self._inbox.taken()

    def commands(self) -> list[Command]:
        """What tells others all that collected since the last time."""
        if not self._told:
            return []
        told, self._told = self._told, {}
        return posted(told, self._partitions)

    def _tell(self, message: Message) -> None:
        self._told[message] = None

    def _log(self, key: str, user: User, event: Event, facts: Mapping[str, Fact]) -> None:
        identity = user.identity
        if identity is None:
            identity = user.identity = Identity()
        identity.log.append(write(event, facts))
        if is_overgrown(identity.log):
            identity.log = newest(identity.log)
        if identity.links:
            owner = identity.links.owner(event.at)
            self._tell(Changed(owner, part_name(key, owner)))

    def _link(self, message: Linked | Aliased, device: User) -> bool:
        identity = _identity(device)
        moments = [read(packed).at for packed in identity.log]
        before = [identity.links.owner(at) for at in moments] if identity.links else [""] * len(moments)
        if not identity.links.add(message.at, message.user):
            return False
        for was, at in zip(before, moments, strict=True):
            if (owner := identity.links.owner(at)) != was:
                for each in filter(None, (was, owner)):
                    self._tell(Changed(each, part_name(message.to, each)))
        return True

    def _alias(self, message: Linked | Aliased, alias: User) -> bool:
        identity = _identity(alias)
        if not identity.aim(message.user, message.at):
            return False
        self._tell(Changed(message.user, message.to))
        for part in identity.parts:
            self._tell(Changed(message.user, part))
        return True

    def _replace(self, message: Changed, user: User, origins: Mapping[str, User]) -> bool:
        origin, owner = origin_of(message.part)
        if origin == message.to:  # it came back to where it began, by aliases in a circle
            return False
        part = contribution(origins[origin], message.part)
        if part is None and (user.identity is None or not owner):
            return False  # an alias has something to give or was forgotten, and takes nothing with it then
        identity = _identity(user)
        if not identity.replace(message.part, part):
            return False
        for target in identity.targets:
            self._tell(Changed(target, message.part))
        return True


def _identity(user: User) -> Identity:
    if user.identity is None:
        user.identity = Identity()
    return user.identity


def _previous_id(event: Event) -> str:
    """The other id that an `identify` names; empty if it names none that an event could belong to."""
    for words in (event.properties, event.traits):
        said: Any = words.get("previous_id")
        if isinstance(said, str) and 0 < len(said) <= MOST_ID and said.isprintable():
            return said
    return ""


MOST_ID: Final = 200
