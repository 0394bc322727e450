"""Identities: what a partition's users are to one another and to those of other partitions, told by messages.

A device's owner knows its log and its links, an alias's owner what it came to. Who counts their events is told that
something changed, and reads it where it lies: the state was committed with the message, so it is never older.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from dataflows.aggregates.effects import SAYING, Fact
from dataflows.aggregates.identity import MOST_LOGGED, Identity, Links, origin_of, part_name
from dataflows.aggregates.log import is_overgrown, newest, read, write
from dataflows.aggregates.merging import consent_of, contribution
from dataflows.aggregates.people import PROFILING, User
from dataflows.erased_ids import ErasedIds
from dataflows.erasing import counted
from dataflows.events import Event
from dataflows.inbox import LATE, Aliased, Changed, Erased, Inbox, Linked, Message, posted
from dataflows.stages import Command

ReadUsers: TypeAlias = Callable[[Collection[str]], Mapping[str, User]]
"""How the stored states of ids are read, whoever owns them."""


class Taken(NamedTuple):
    """What messages came to: the ids whose states changed, and those that go as a whole, by who they go with."""

    touched: set[str]
    gone: dict[str, Erased]


LINKING: Final = frozenset({"identify", "sign_up", "email_click"})
"""Types that link a device to a user where they name both."""


class Identities:
    """One partition's side of it. What is to be told collects until `commands` puts it into a commit.

    Args:
        inbox: what others tell this partition.
        stored: reads what was committed.
        partitions: how many the stream has.
        erased: who was erased lately.
    """

    def __init__(self, inbox: Inbox, stored: ReadUsers, partitions: int, erased: ErasedIds) -> None:
        self._inbox, self._stored, self._partitions, self.erased = inbox, stored, partitions, erased
        self._told: dict[Message, None] = {}
        self._answers: list[Command] = []

    def note(self, key: str, user: User, event: Event, facts: Mapping[str, Fact]) -> None:
        """An event that names a device, or may name another id, was applied to `user`."""
        if event.user_id is None:
            if event.type in SAYING or not user.is_denied():
                self._log(key, user, event, facts)
            return
        if event.type in LINKING and event.anonymous_id not in (None, key):
            device = str(event.anonymous_id)
            self._tell(Erased(device, key, "") if user.is_denied() else Linked(device, key, event.at))
        if event.type == "identify" and (previous := _previous_id(event)) not in ("", key):
            self._tell(Aliased(previous, key, event.at))

    def changed(self, key: str, user: User) -> None:
        """Events were applied to `user`: tell those it is an alias of."""
        for target in user.identity.targets if user.identity is not None else ():
            self._tell(Changed(target, key))

    def leave(self, key: str, user: User, erasure: str = "") -> int:
        """`user` is erased, or said no: tell those that are something to it, and those it is something to; how many."""
        if user.identity is None:
            return 0
        parts = {origin_of(part)[0] for part in user.identity.parts}
        others = (parts | set(user.identity.targets)) - {key}
        for other in others:
            self._tell(Erased(other, key, erasure))
        return len(others)

    def leave_parts(self, key: str, parts: Iterable[str]) -> None:
        """The user `key` said no: what devices and aliases know of it goes."""
        for other in {origin_of(part)[0] for part in parts} - {key}:
            self._tell(Erased(other, key, ""))

    def read(self) -> list[Message]:
        """What others tell, a bounded number of messages; `take` acts on them."""
        return self._inbox.read()

    def take(self, messages: Iterable[Message], users: Mapping[str, User], now: int) -> Taken:
        """Act on messages.

        Args:
            messages: as `read` gave them.
            users: the states of everyone they go to.
            now: microseconds since 1970.
        """
        touched: set[str] = set()
        gone: dict[str, Erased] = {}
        changed: dict[Changed, None] = {}
        for message in messages:
            if isinstance(message, Changed):
                changed[message] = None
            elif isinstance(message, Erased):
                self._answers += counted(message.erasure, "answered") if message.awaited else []
                if self._erase(message, users[message.to], now):
                    gone[message.to] = message
                touched.add(message.to)
            else:
                act = self._link if isinstance(message, Linked) else self._alias
                if act(message, users[message.to]):
                    touched.add(message.to)
        origins = self._stored({origin_of(message.part)[0] for message in changed}) if changed else {}
        for message in changed:
            if message.to not in gone and self._replace(message, users[message.to], origins):
                touched.add(message.to)
        return Taken(touched - gone.keys(), gone)

    def taken(self) -> list[Command]:
        """What takes the messages out that `read` gave."""
        return self._inbox.taken()

    def commands(self) -> list[Command]:
        """What tells others all that collected since the last time."""
        if not self._told and not self._answers:
            return []
        told, self._told = self._told, {}
        answers, self._answers = self._answers, []
        for message in told:
            if isinstance(message, Erased) and message.awaited:
                answers += counted(message.erasure, "asked")
        return posted(told, self._partitions) + answers

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

    def erase(self, message: Erased, user: User, now: int) -> bool:
        """Act on a message that came by the stream; whether the id goes as a whole."""
        return self._erase(message, user, now)

    def _erase(self, message: Erased, who: User, now: int) -> bool:
        """Take out of an id what it has of a user; whether the id goes as a whole, since it is nobody else's."""
        identity, user = who.identity, message.user
        if identity is None:
            return False
        if not message.erasure and user in identity.targets:
            who.keep_what_must()  # another id of somebody who said no; it stays one
            return False
        theirs = [part for part in identity.parts if user in origin_of(part)]
        for part in theirs:
            del identity.parts[part]
            identity.folded = None
        if theirs:
            for target in identity.targets:
                self._tell(Erased(target, user, message.erasure))
        if identity.targets.pop(user, None) is not None and not identity.targets:
            self._tell(Erased(user, message.to, message.erasure))
            return True
        users = {named for _, named in identity.links.pairs}
        # An id that did more than its log says is a user's own too, whatever somebody linked it to.
        alone = bool(identity.log) and len(identity.log) >= min(len(who.seen), MOST_LOGGED)
        if users and users <= {user} and (alone or not len(who.seen)):
            self._tell(Erased(user, message.to, message.erasure))
            return True
        if user in users:
            links = identity.links
            identity.log = [packed for packed in identity.log if links.owner(read(packed).at) != user]
            identity.links = Links(pair for pair in links.pairs if pair[1] != user)
            if alone:
                who.remake(map(read, identity.log), now)
        return False

    def _replace(self, message: Changed, user: User, origins: Mapping[str, User]) -> bool:
        origin, owner = origin_of(message.part)
        if message.to in self.erased and user.is_void():
            self._tell(Erased(origin, message.to, LATE))  # it was on its way when they were erased
            return False
        if origin == message.to:  # it came back to where it began, by aliases in a circle
            return False
        part = contribution(origins[origin], message.part)
        if part is None and (user.identity is None or not owner):
            return False  # an alias has something to give or was forgotten, and takes nothing with it then
        if user.is_denied() and part is not None:
            said = consent_of(part, message.part)
            if said is None or said[1] is False or said[0] <= user.profile[PROFILING][0]:
                return False  # who said no has no parts, until another id of theirs says yes
            user.profile[PROFILING] = said
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
