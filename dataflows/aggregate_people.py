"""The fold of the people flow: one partition's users, each with one state and one row."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from dataflows.aggregate import CALM, EXPIRED_AT_ONCE, EXPIRED_IN_CALM, DueSet
from dataflows.aggregates.effects import CONSENTS, SAYING, Fact
from dataflows.aggregates.merging import whole
from dataflows.aggregates.people import ONCE_KNOWN, PROFILING, STEADY, User
from dataflows.aggregates.population import Move, Standing, standing_of
from dataflows.aggregates.segments import segment_of, turn_of
from dataflows.aggregates.sessions import Derived
from dataflows.erasing import Erase, counted
from dataflows.erasing import gone as erased_with
from dataflows.events import DAY, OURS, Outcome, Placed
from dataflows.identities import Identities
from dataflows.inbox import Erased
from dataflows.machines import is_machine
from dataflows.population import Population, population_commands
from dataflows.stages import Aggregated, Command, Enriched, Row
from dataflows.state import StateTable

Tell: TypeAlias = Callable[[str, Iterable[Derived]], list[Command]]
"""What makes the commands that tell of a user what followed from the events."""
Touched: TypeAlias = tuple[str, User, int]
"""A user's id and state, and the time of the newest event that was applied just now; 0 if none was."""
NOTHING: Final = -(2**63)
"""In the place of that time until an event is applied."""


class Partition(NamedTuple):
    """What one partition's users are kept with.

    Attributes:
        due: when rows change by themselves.
        identities: what its users are to others.
        tell: where derived events go.
        population: all customers, of this and of the other partitions.
    """

    due: DueSet
    identities: Identities
    tell: Tell
    population: Population


class FoldPeople:
    """Users of one partition, which the first micro-batch names: an empty one comes for each when the flow starts.

    Args:
        users: their states.
        open_partition: what a partition's users are kept with.
        committed: by partition, the offset up to which earlier commits counted the events.
        cart_idle: microseconds without a change after which a cart is abandoned.
        state_ttl: microseconds without an event after which a user is forgotten; 0: never.
        history: whether the events are those of a file: each is judged as of when it happened, and its offset is a
            place in the file, so that what was committed guards it and not the offset that a user has in the stream.
    """

    def __init__(
        self,
        users: StateTable[User],
        open_partition: Callable[[int], Partition],
        committed: Mapping[int, int],
        *,
        cart_idle: int,
        state_ttl: int = 0,
        history: bool = False,
    ) -> None:
        self._users, self._open, self._committed = users, open_partition, committed
        self._cart_idle, self._state_ttl, self._history = cart_idle, state_ttl, history
        self._partition: int | None = None
        self._sent: deque[Aggregated] = deque()
        """Results that may not be stored yet."""
        self._latest = 0
        self._brought = 0
        """Events since the last tick."""

    def fold(self, batches: list[Enriched], now: int) -> list[Aggregated]:
        """What some micro-batches of the partition come to, one commit each, after what other partitions tell."""
        self._users.shrink()
        if self._partition is None:
            self._partition = batches[0].batch.partition
            self._due, self._identities, self._tell, self._population = self._open(self._partition)
            self._counted = self._committed[self._partition]
        self._brought += sum(len(batch.batch.events) for batch in batches)
        results = self._hear(now)
        for batch in batches:
            if batch.batch.offset >= 0:
                results += self._in_order(batch, now) if batch.batch.erasures else [self._fold(batch, now)]
        return self._send(results)

    def _in_order(self, enriched: Enriched, now: int) -> list[Aggregated]:
        """What a micro-batch with erasures comes to: a commit for each, and for what lies between them."""
        batch, facts = enriched
        results = []
        for offset, command in batch.erasures:
            before, batch = batch.split(offset)
            if before.offset >= 0:
                results.append(self._fold(Enriched(before, facts), now))
            results.append(self._obey(offset, command, now))
        if batch.events or batch.refused:
            results.append(self._fold(Enriched(batch, facts), now))
        return results

    def _obey(self, offset: int, command: Erase, now: int) -> Aggregated:
        """The commit of an erasure; of one that is read again, and behind which something came, nothing."""
        assert self._partition is not None  # noqa: S101  # it came in a micro-batch
        fresh = offset > self._counted
        outcomes: Mapping[Outcome, int] = {"applied": 1} if fresh else {}
        result = Aggregated((self._partition,), outcomes=outcomes, received=int(fresh))
        key = command.key
        user = self._users.load([key])[key]
        if self._history or offset > user.offset:
            message, kept = Erased(key, command.user_id, command.erasure), ""
            if key == command.user_id or self._identities.erase(message, user, now):
                kept = self._erase({key: message}, result, now)
            else:
                self._emit(result, [(key, user, 0)] if user.row_at else (), now)
            result.commands += command.commands("people", kept=kept)
            if key != command.user_id:
                result.commands += counted(command.erasure, "answered")
        self._counted = max(self._counted, offset)
        result.offsets = {self._partition: self._counted}
        return result

    def _erase(self, gone: Mapping[str, Erased], result: Aggregated, now: int) -> str:
        """Everything of some ids goes with the commit, but for a no that was said; the names of what is kept."""
        assert self._partition is not None  # noqa: S101  # rows are some partition's
        moves: list[Move] = []
        staying: list[Touched] = []
        due: dict[str, int | None] = {}
        kept: set[str] = set()
        for key, message in gone.items():
            user = self._users.load([key])[key]
            said = whole(user, now).profile
            withheld = {name: said[name] for name in CONSENTS if said.get(name, (0, None))[1] is False}
            self._identities.leave(key, user, message.erasure)
            if message.awaited:
                result.commands += erased_with(message.erasure, key)
            if message.erasure:
                result.commands += self._identities.erased.note(key, now)
            row_at, standing = user.row_at, user.standing
            self._forget(key, user, result, moves)
            due[key] = None
            if withheld and key == message.user:
                fresh = self._users.load([key])[key]
                fresh.profile, fresh.row_at, fresh.offset = withheld, row_at, user.offset
                result.forgotten.remove(("user", key))  # its row is written over, all of it
                staying.append((key, fresh, 0))
                kept |= withheld.keys()
            elif not row_at and standing is None:
                result.forgotten.remove(("user", key))  # there never was anything
        result.commands += self._due.commands(due)
        result.commands += population_commands(self._partition, moves)
        self._emit(result, staying, now)
        return " ".join(sorted(kept))

    def _fold(self, enriched: Enriched, now: int) -> Aggregated:
        batch = enriched.batch
        partition, counted = batch.partition, self._counted
        outcomes: Counter[Outcome] = Counter()
        # One user after another, since what a user is made of is read from memory once then, not once an event.
        placed: defaultdict[str, list[Placed]] = defaultdict(list)
        for each in batch.events:
            offset, event = each
            if event.type != "item" and event.type not in OURS:
                placed[event.user_id or event.anonymous_id].append(each)  # type: ignore[index]  # it has one of them
            elif offset > counted:
                # The catalogue is the items flow's, what we did ourselves is nobody's: they have done their part.
                outcomes["applied"] += 1
        refused = [(partition, offset, refusal) for offset, refusal in batch.refused if offset > counted]
        if refused:
            outcomes["refused"] = len(refused)
        result = Aggregated((partition,), refused=refused, outcomes=outcomes)
        self._emit(result, self._applied(placed, enriched.facts, outcomes, now), now)
        self._counted = max(counted, batch.offset)
        result.offsets = {partition: self._counted}
        result.received = outcomes.total()
        return result

    def _applied(
        self, placed: Mapping[str, list[Placed]], facts: Mapping[str, Fact], outcomes: Counter[Outcome], now: int
    ) -> Iterator[Touched]:
        """Apply events, the users one by one as they are asked for; gives those who changed, and counts outcomes."""
        counted, history, identities, applied = self._counted, self._history, self._identities, 0
        for key, user in self._users.load(placed).items():
            newest = NOTHING
            denied = user.is_denied()
            parts = () if user.identity is None else tuple(user.identity.parts)
            is_erased = key in identities.erased
            done = counted if history else user.offset
            for offset, event in placed[key]:
                # What is read again of somebody who was erased since is not to bring them back.
                if offset <= done or (is_erased and offset <= counted):
                    applied += offset > counted
                    continue
                at: int = event.occurred_at  # type: ignore[assignment]  # settled when the event was made
                if not history:
                    done = user.offset = offset
                outcome = user.apply(event, facts, at if history else now)
                if outcome == "applied":
                    if event.type in SAYING and not denied and user.is_denied():
                        denied = True
                        identities.leave_parts(key, parts)
                    if at > newest:
                        newest = at
                    if (event.anonymous_id is not None or event.type == "identify") and not is_machine(event):
                        identities.note(key, user, event, facts)
                    if offset > counted:
                        applied += 1
                elif offset > counted:
                    outcomes[outcome] += 1
            if newest != NOTHING:
                if user.identity is not None:
                    identities.changed(key, user)
                yield key, user, newest
        if applied:
            outcomes["applied"] += applied

    def expire(self, now: int) -> list[Aggregated]:
        """What other partitions tell, and what time changed for the users who were due; some of them are forgotten."""
        if self._partition is None:
            return []
        self._users.shrink()
        results = self._hear(now)
        most = EXPIRED_IN_CALM if self._brought < CALM else EXPIRED_AT_ONCE
        self._brought = 0
        if due := self._due.until(now, most):
            result = Aggregated((self._partition,))
            self._emit(result, _untouched(self._users.load(due)), now, timed=True)
            results.append(result)
        return self._send(results)

    def _send(self, results: list[Aggregated]) -> list[Aggregated]:
        self._users.stay(results)
        self._look_back()
        self._sent.extend(results)
        return results

    def _look_back(self) -> None:
        """Find out which rows were set aside: of those users more is to be written than what changes next."""
        sent = self._sent
        while sent and sent[0].stored:
            for row in sent.popleft().aside():
                if (user := self._users.at_hand(row.key)) is not None:
                    user.behind = True

    def _on_the_way(self) -> set[str]:
        """The keys of rows of which it is not known yet whether they are stored."""
        self._look_back()
        return {row.key for result in self._sent for row in (*result.rows, *result.aside())}

    def _hear(self, now: int) -> list[Aggregated]:
        """What the messages of other partitions come to: one commit, which takes them out of the inbox."""
        messages = self._identities.read()
        if not messages:
            return []
        assert self._partition is not None  # noqa: S101  # an inbox is a partition's
        users = self._users.load({message.to for message in messages})
        touched, gone = self._identities.take(messages, users, now)
        result = Aggregated((self._partition,))
        for message in messages:
            # Who is nothing any more, since that was all of somebody who is erased, goes too.
            if isinstance(message, Erased) and message.to in touched and users[message.to].is_void():
                touched.discard(message.to)
                if users[message.to].row_at:
                    gone[message.to] = message
        self._erase(gone, result, now)
        self._emit(result, _untouched({key: users[key] for key in sorted(touched)}), now)
        result.commands += self._identities.taken()
        return [result]

    def _emit(self, result: Aggregated, users: Iterable[Touched], now: int, *, timed: bool = False) -> None:
        """Put the rows of some users into a commit: whole ones, or, if only time passed, what that changes.

        A row that only time changed leaves the stored state as it is, unless time changed that too. Its `row_at` is
        then in the hash alone, with the row, and is read from there: see `dataflows.state.user_table`.
        """
        assert self._partition is not None  # noqa: S101  # rows are some partition's
        due: dict[str, int | None] = {}
        moves: list[Move] = []
        cuts = self._population.cuts(now)
        is_later, self._latest = now >= self._latest, max(now, self._latest)
        on_the_way = self._on_the_way() if timed else set[str]()
        for key, user, newest in users:
            person = whole(user, now)
            if person is not user and person.is_denied():
                user.profile[PROFILING] = person.profile[PROFILING]  # another id of theirs said it
                self._identities.leave_parts(key, tuple(user.identity.parts) if user.identity else ())
                user.keep_what_must()
                person = user
            if timed and self._state_ttl and self._is_forgotten(user, person, now):
                if user.row_at:  # else that was a moment ago, and is being stored
                    self._forget(key, user, result, moves)
                due[key] = None
                continue
            is_stored = not user.behind and key not in on_the_way
            steady = user.steady(now) if timed and is_later and is_stored and user.identity is None else STEADY[0]
            values, *changes = person.numbers(now) if timed else person.row(now)
            standing = _standing(user, person, values)
            turn = 0 if standing is None else turn_of(key)
            segment, change = segment_of(person.last, standing, cuts, now, turn)
            values.update(segment)
            changes.append(change)
            before = self._kept(user) if timed else None
            if standing != user.standing:
                moves.append((user.standing, standing))
                user.standing = standing
            told, change = self._passed(user, person, now)
            changes.append(change)
            follows = self._tell(key, told) if told else ()
            user.row_at = max(user.row_at + 1, newest)
            changes.append(self._forgotten_at(user, person, now))
            due[key] = min(filter(None, changes), default=None)
            state = None if timed and before == self._kept(user) else user.pack()
            # What is counted for somebody else from now on, or was forgotten, may leave a null where a value was.
            plain = user.identity is None and not user.is_consent_withheld()
            omitted = ONCE_KNOWN if plain else frozenset()
            result.rows.append(Row("user", key, user.row_at, values, state, omitted, timed, follows, steady))
            user.behind = False
        result.commands += self._due.commands(due)
        result.commands += self._identities.commands()
        result.commands += population_commands(self._partition, moves)

    @staticmethod
    def _kept(user: User) -> tuple[Any, ...]:
        """What passing time changes in a state; all else that it drops, it drops again at the next reading."""
        return user.standing, user.sessions.settled

    def _passed(self, user: User, person: User, now: int) -> tuple[list[Derived], int | None]:
        """What follows from the user's sessions and cart, and when time brings more."""
        sessions, identity, updated_at = user.sessions, user.identity, person.cart_changed_at
        if identity is not None:
            # The cart is the person's, whatever id filled or bought it, and is told of under one id only.
            sessions.settle(person.last.get("last_purchase_at", 0))
        open_cart = updated_at is not None and updated_at > sessions.settled_at
        if open_cart and not (identity is not None and identity.is_counted_elsewhere()):
            return sessions.passed(now, person.cart.items(), updated_at, self._cart_idle)
        return sessions.passed(now, [], updated_at, self._cart_idle)

    def _forgotten_at(self, user: User, person: User, now: int) -> int | None:
        """When the user is to be forgotten unless something comes; None: never.

        Not within a day, however old the newest event is: more may be on its way, from another partition or a file.
        """
        if not self._state_ttl or user.is_consent_withheld() or person.is_consent_withheld():
            return None
        return max(user.heard_of_at() + self._state_ttl, now + DAY)

    def _is_forgotten(self, user: User, person: User, now: int) -> bool:
        """Whether it is time to forget the user; while history is read nobody is, since more of it may come."""
        term = self._state_ttl
        if self._history or now < user.row_at + term or now < user.heard_of_at() + term:
            return False
        return not (user.is_consent_withheld() or person.is_consent_withheld())

    def _forget(self, key: str, user: User, result: Aggregated, moves: list[Move]) -> None:
        """Everything of the user goes with the commit: features, state, share in the population.

        An event that comes at this moment is folded before, and then this does not happen, or after, into nothing: the
        commits of a partition keep their order.
        """
        if user.standing is not None:
            moves.append((user.standing, None))
        self._users.renew(key)
        result.forgotten.append(("user", key))


def _untouched(users: Mapping[str, User]) -> Iterator[Touched]:
    """Users whose rows are to be read though no event came."""
    return ((key, user, 0) for key, user in users.items())


def _standing(user: User, person: User, values: Mapping[str, Any]) -> Standing | None:
    """The standing to be counted; none for an id that counts for another one's user, who is counted in its place."""
    if not values["orders_90d"] or (user.identity is not None and user.identity.is_counted_elsewhere()):
        return None
    return standing_of(person.last.get("last_purchase_at"), values["orders_90d"], values["spend_90d"])
