"""Simulated shoppers: an invented history of visits, carts, orders and mails for the sample shop.

Nobody here is a person, and the data says so: user ids read `sim-0042`, event ids `sim-0042-000017`. The shoppers
behave like people, though, so that every block has something to show: they come at certain hours, keep to their tastes
and price levels, look at things that go together, run after bestsellers and leave most carts behind.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from operator import itemgetter
from random import Random
from statistics import median
from typing import Any

from api.demo.catalogue import CURRENCY, Product, rfc3339, shelf

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
"""Milliseconds: the unit of every time and duration in this module."""

OCCASIONS: tuple[tuple[str, ...], ...] = (
    ("tent", "sleeping_bag", "camp_lantern", "camp_stove", "camp_chair", "hammock"),
    ("backpack", "thermos", "compass", "cap", "rain_boots"),
    ("suitcase", "duffel", "wash_bag", "sunglasses", "umbrella"),
    ("teapot", "mug", "kettle", "bowl"),
    ("cafetiere", "moka_pot", "mug"),
    ("casserole", "frying_pan", "cutting_board", "pepper_mill"),
    ("armchair", "floor_lamp", "cushion", "blanket", "side_table"),
    ("vase", "mirror", "wall_clock", "candle", "pendant_lamp", "stool"),
    ("monstera", "snake_plant", "olive_tree", "trailing_plant", "cactus", "plant_pot"),
    ("watering_can", "trowel", "seed_packet", "plant_pot"),
    ("turntable", "bookshelf_speaker", "headphones"),
    ("radio", "portable_speaker", "earbuds"),
    ("microphone", "metronome", "headphones"),
    ("notebook", "fountain_pen", "letter_set", "desk_lamp"),
    ("pencil_cup", "scissors", "tape", "watercolours", "stapler", "desk_calendar"),
    ("globe", "kite", "rocket", "toy_boat", "spinning_top"),
    ("toy_train", "building_blocks", "toy_car"),
    ("teddy", "mushroom_lamp", "ring_stacker", "xylophone"),
    ("beanie", "scarf", "mittens", "socks"),
    ("messenger_bag", "watch", "tote"),
    ("table_lamp", "string_lights", "candle"),
)
"""Kinds of product that go together: who looks at one often looks at another of its row next."""

FIRST_NAMES = {
    "FR": ("Camille", "Louis", "Inès", "Hugo", "Léa", "Malik", "Zoé", "Antoine"),
    "DE": ("Jonas", "Lena", "Emre", "Mia", "Felix", "Clara", "Paul", "Ayla"),
    "NL": ("Sanne", "Daan", "Noor", "Bram", "Fleur", "Sem"),
    "BE": ("Lotte", "Arthur", "Amina", "Wout", "Elise", "Victor"),
    "ES": ("Lucía", "Pablo", "Carmen", "Iker", "Nuria", "Mateo"),
    "IE": ("Aoife", "Conor", "Niamh", "Oisín", "Ciara", "Finn"),
}
COUNTRIES = {"FR": 38, "DE": 25, "NL": 14, "BE": 10, "ES": 8, "IE": 5}
DEVICES = {"mobile": 58, "desktop": 34, "tablet": 8}
HOURS = (2, 1, 1, 1, 1, 2, 4, 8, 10, 10, 11, 13, 15, 13, 11, 11, 12, 14, 17, 21, 24, 21, 13, 6)
"""How much happens in each hour of the day, UTC: a bump at lunch, a peak in the evening."""


def history(now: datetime, shoppers: int = 400, days: int = 21, seed: int = 7) -> Iterator[dict[str, Any]]:
    """What simulated shoppers did in the days before `now`, as events in the order of their time.

    The same arguments give the same events. The last of them lies three minutes before `now` or later, none after it;
    the first shoppers (`sim-0001` and on, one in twenty) are the ones who were in the shop within the last hour.

    Raises:
        ValueError: `now` has no time zone, or there are no shoppers or no days.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now.isoformat()} has no time zone: give one, such as timezone.utc")
    if shoppers < 1 or days < 1:
        raise ValueError(f"a history needs at least one shopper and one day, not {shoppers} and {days}")
    end = int(now.timestamp() * 1000)
    shop = _Shop.opened(seed)
    live = math.ceil(shoppers / 20)
    told: list[tuple[int, str, dict[str, Any]]] = []
    for number in range(1, shoppers + 1):
        # One shopper in twenty, the first ones, has come within the hour, so that it is busy even at night.
        arrival = end - 3 * MINUTE - (number - 1) * 53 * MINUTE // live if number <= live else None
        story = _Story(shop, Random(f"{seed}:{number}"), f"sim-{number:04d}", end - days * DAY, end)  # noqa: S311
        told += story.told(arrival)
    told.sort(key=itemgetter(0, 1))
    yield from (event for _, _, event in told)


@dataclass(frozen=True, slots=True)
class _Shop:
    """The shelf as shoppers see it: what is popular, what is in fashion, what goes with what and what is like it."""

    products: tuple[Product, ...]
    fame: dict[str, float]
    usual_price: dict[str, float]
    fashion: tuple[Product, ...]
    companions: dict[str, tuple[Product, ...]]
    alike: dict[str, tuple[Product, ...]]

    @staticmethod
    def opened(seed: int) -> _Shop:
        products = shelf()
        ranked = list(products)
        Random(f"{seed}:shelf").shuffle(ranked)  # noqa: S311 - a simulation, not a secret
        fame = {product.item_id: 1 / (rank + 2) ** 0.9 for rank, product in enumerate(ranked)}
        companions, alike = {}, {}
        for product in products:
            kinds = {kind for row in OCCASIONS if product.kind in row for kind in row}
            others = [other for other in products if other is not product]
            companions[product.item_id] = tuple(other for other in others if other.kind in kinds)
            alike[product.item_id] = tuple(other for other in others if other.category == product.category)
        categories = sorted({product.category for product in products})
        usual_price = {
            category: median(product.price for product in products if product.category == category)
            for category in categories
        }
        fashion = tuple(product for product in ranked[40:] if product.in_stock)[:4]
        return _Shop(products, fame, usual_price, fashion, companions, alike)


@dataclass(slots=True)
class _Story:
    """One shopper's weeks, told visit by visit; `random` decides everything that is left to chance."""

    shop: _Shop
    random: Random
    user_id: str
    start: int
    end: int
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    visits: list[tuple[int, str]] = field(default_factory=list)
    cart: dict[str, tuple[Product, int]] = field(default_factory=dict)
    wishes: set[str] = field(default_factory=set)
    country: str = ""
    device: str = ""
    wants: Sequence[float] = ()
    orders: int = 0
    mails: int = 0
    free_at: int = 0

    def told(self, arrival: int | None) -> list[tuple[int, str, dict[str, Any]]]:
        """Every event up to the end, numbered in the order of time; `arrival` is a visit that takes place for sure."""
        self._introduced()
        self._visits_planned(arrival)
        self._signed_up(self.visits[0][0])
        while self.visits:
            moment, entrance = heapq.heappop(self.visits)
            # One visit at a time, and nothing may get in the way of the one that is under way at the end.
            too_close = arrival is not None and entrance != "live" and moment > arrival - 2 * HOUR
            if moment >= self.free_at and not too_close:
                self._visit(moment, entrance)
        numbered = []
        happened = sorted((entry for entry in self.events if entry[0] <= self.end), key=itemgetter(0))
        for count, (moment, event) in enumerate(happened, start=1):
            event_id = f"{self.user_id}-{count:06d}"
            numbered.append((moment, event_id, {"event_id": event_id, "occurred_at": _written(moment), **event}))
        return numbered

    def _introduced(self) -> None:
        """Country, device, two or three favourite categories and a price level."""
        self.country = _drawn(self.random, COUNTRIES)
        self.device = _drawn(self.random, DEVICES)
        favourites = self.random.sample(list(self.shop.usual_price), self.random.choice((2, 2, 3)))
        tastes = dict(zip(favourites, (10.0, 5.0, 3.0), strict=False))
        purse = self.random.gauss(0, 0.6)
        wants = []
        for product in self.shop.products:
            distance = math.log(product.price / self.shop.usual_price[product.category]) - purse
            suits = math.exp(-(distance**2) / 1.2)
            wants.append(self.shop.fame[product.item_id] * tastes.get(product.category, 0.35) * (0.1 + suits))
        self.wants = tuple(accumulate(wants))

    def _visits_planned(self, arrival: int | None) -> None:
        """A few regulars come nearly every day, most shoppers once a week, some once; a mail goes out every week."""
        span = self.end - self.start
        joined = self.start if self.random.random() < 0.7 else self.start + int(span * self.random.random())
        often = min(self.random.paretovariate(1.25) * 1.5, 16.0) * span / (21 * DAY)
        for _ in range(max(1, round(often))):
            heapq.heappush(self.visits, (self._hour_between(joined, self.end), "visit"))
        if arrival is not None:
            heapq.heappush(self.visits, (arrival, "live"))
        first = self.visits[0][0]
        mailing = self.start - self.start % DAY + 5 * DAY + 8 * HOUR
        for week, moment in enumerate(range(mailing, self.end, 7 * DAY), start=1):
            if moment > first:
                self._mailed(moment, f"weekly-{week}", opened=0.38, clicked=0.28)

    def _hour_between(self, start: int, end: int) -> int:
        for _ in range(20):
            day = self.random.randrange(start, end + 1) // DAY * DAY
            hour = self.random.choices(range(24), HOURS)[0]
            moment = day + hour * HOUR + self.random.randrange(HOUR)
            if start <= moment <= end:
                return moment
        return self.random.randrange(start, end + 1)

    def _signed_up(self, moment: int) -> None:
        """The first sign of a shopper: an account that is new, or an old one whose profile is told again."""
        new = moment > self.start + DAY and self.random.random() < 0.6
        traits = {"first_name": self.random.choice(FIRST_NAMES[self.country]), "country": self.country}
        self._tell(moment, "sign_up" if new else "profile", traits=traits)

    def _mailed(self, moment: int, campaign: str, opened: float, clicked: float) -> None:
        """A mail, perhaps opened, perhaps clicked; a click is the beginning of a visit."""
        self.mails += 1
        mail = {"campaign_id": campaign, "send_id": f"{self.user_id}-mail-{self.mails}"}
        moment += self.random.randrange(5 * MINUTE)
        self.events.append((moment, {"type": "email_delivered", "user_id": self.user_id, **mail}))
        if self.random.random() < opened:
            moment += MINUTE + int(self.random.expovariate(1 / (2 * HOUR)))
            self._tell(moment, "email_open", **mail)
            if self.random.random() < clicked:
                moment += 3_000 + self.random.randrange(40_000)
                self._tell(moment, "email_click", **mail)
                heapq.heappush(self.visits, (moment + 1_500, "mail"))

    def _visit(self, moment: int, entrance: str) -> None:
        """One stay in the shop, from the first page to the till or, more often, not."""
        product = self._attracted(moment)
        if self.cart and self.random.random() < 0.6:
            product = next(iter(self.cart.values()))[0]
        elif entrance == "visit" and self.random.random() < 0.3:
            self._tell(moment, "search", query=product.kind.replace("_", " "))
            moment += self._pause(8)
        seen: set[str] = set()
        keen = 3.5 if entrance == "live" else 1.0
        for _ in range(2 + min(int(self.random.expovariate(1 / 4)), 16)):
            if seen and self.random.random() < 0.3:
                self._tell(moment, "click", item_id=product.item_id)
                moment += 400 + self.random.randrange(900)
            self._tell(moment, "view", item_id=product.item_id)
            seen.add(product.item_id)
            moment += self._pause(30)
            moment = self._liked(product, moment, keen)
            product = self._next(product, seen, moment)
        if self.cart:
            moment = self._at_the_till(moment, entrance)
        self.free_at = moment + 40 * MINUTE

    def _liked(self, product: Product, moment: int, keen: float) -> int:
        chance = self.random.random()
        if product.in_stock and product.item_id not in self.cart and chance < 0.10 * keen:
            quantity = 2 if product.price < 25 and self.random.random() < 0.25 else 1
            self.cart[product.item_id] = (product, quantity)
            price = {"quantity": quantity, "price": product.price, "currency": CURRENCY}
            self._tell(moment, "add_to_cart", item_id=product.item_id, **price)
            moment += self._pause(10)
        elif chance > 0.96 and product.item_id not in self.wishes:
            self.wishes.add(product.item_id)
            self._tell(moment, "add_to_wishlist", item_id=product.item_id)
            moment += self._pause(6)
        return moment

    def _next(self, product: Product, seen: set[str], moment: int) -> Product:
        """What is looked at next: something that goes with this, something like it, or something else."""
        chance = self.random.random()
        if chance < 0.8:
            nearby = (self.shop.companions if chance < 0.5 else self.shop.alike)[product.item_id]
            fresh = [other for other in nearby if other.item_id not in seen]
            if fresh:
                return self.random.choices(fresh, [self.shop.fame[other.item_id] for other in fresh])[0]
        return self._attracted(moment)

    def _attracted(self, moment: int) -> Product:
        if moment > self.end - 2 * DAY and self.random.random() < 0.12:
            return self.random.choice(self.shop.fashion)
        return self.random.choices(self.shop.products, cum_weights=self.wants)[0]

    def _at_the_till(self, moment: int, entrance: str) -> int:
        if len(self.cart) > 1 and self.random.random() < 0.25:
            removed = self.random.choice(list(self.cart))
            _, quantity = self.cart.pop(removed)
            self._tell(moment, "remove_from_cart", item_id=removed, quantity=quantity)
            moment += self._pause(8)
        buys = self.random.random() < {"mail": 0.5, "live": 0.2}.get(entrance, 0.34)
        lines = [
            {"item_id": product.item_id, "quantity": quantity, "price": product.price}
            for product, quantity in self.cart.values()
        ]
        if buys or self.random.random() < 0.25:
            self._tell(moment, "checkout", items=lines, currency=CURRENCY)
            moment += self._pause(60)
        if buys:
            self._bought(moment, lines)
        elif self.random.random() < 0.5:
            self._mailed(moment + 3 * HOUR, "abandoned-cart", opened=0.5, clicked=0.4)
        return moment

    def _bought(self, moment: int, lines: list[dict[str, Any]]) -> None:
        self.orders += 1
        order = f"{self.user_id}-order-{self.orders}"
        self._tell(moment, "purchase", order_id=order, items=lines, currency=CURRENCY)
        self.cart.clear()
        if self.random.random() < 0.08:
            later = moment + int(self.random.uniform(1, 7) * DAY)
            self._tell(later, "refund", order_id=order, items=[self.random.choice(lines)], currency=CURRENCY)

    def _pause(self, seconds: float) -> int:
        return 1_000 + int(self.random.lognormvariate(math.log(seconds * 1000), 0.7))

    def _tell(self, moment: int, kind: str, **fields: Any) -> None:
        who = {"user_id": self.user_id, "country": self.country, "device": self.device}
        self.events.append((moment, {"type": kind, **who, **fields}))


def _drawn(random: Random, shares: dict[str, int]) -> str:
    return random.choices(list(shares), list(shares.values()))[0]


def _written(moment: int) -> str:
    return rfc3339(datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=moment))
