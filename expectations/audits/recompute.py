"""Recompute: the features of a sample of users and items from the events of the lake, by DuckDB.

The SQL beside this file is written from `docs/features.md` and shares nothing with the flows, so that both are wrong
together only where the page is. What it leaves out is in `UNAUDITED`, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

HERE: Final = Path(__file__).parent
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
TILES: Final[Mapping[str, tuple[int, int]]] = {
    "1h": (5 * MINUTE, 12),
    "24h": (HOUR, 24),
    "7d": (HOUR, 168),
    "30d": (DAY, 30),
}
"""By window, the size of its tiles in microseconds and how many it goes back."""
USER_KINDS: Final[Mapping[str, str]] = {
    "views": "view", "clicks": "click", "carts": "add_to_cart", "purchases": "purchase",
    "email_opens": "email_open", "email_clicks": "email_click",
}  # fmt: skip
ITEM_KINDS: Final[Mapping[str, str]] = {"views": "view", "carts": "add_to_cart", "purchases": "purchase"}
MOMENTS: Final = (
    "last_view_at", "last_cart_at", "last_purchase_at", "last_email_open_at", "last_email_click_at", "first_seen_at",
)  # fmt: skip
PROFILE: Final = ("country", "locale", "timezone", "first_name", "email_allowed", "profile_allowed")
CATALOGUE: Final = (
    "title", "url", "image_url", "price", "list_price", "currency", "category", "brand", "in_stock", "added_at",
    "price_dropped_at", "restocked_at",
)  # fmt: skip
UNAUDITED: Final[Mapping[str, str]] = {
    "user_segment": "scores and segment depend on everybody, as of when the row was written; lifecycle is audited",
    "item_neighbours": "they follow the order in which events arrived, over the whole of the history",
}
"""Views that are not recomputed, or not as a whole, and why."""

Rows = dict[str, dict[str, Any]]


class Recompute:
    """The features that the events of a lake come to.

    Args:
        lake: rows of `events/`: whatever DuckDB can read by that name, such as a dataset of pyarrow.
        held: rows of `held/`, likewise: events that the gate held, which count for nothing; None: there are none.
    """

    def __init__(self, lake: Any, held: Any = None) -> None:
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")
        self._db.register("lake", lake)
        if held is None:
            self._db.execute('CREATE TEMP TABLE held (partition INTEGER, "offset" VARCHAR)')
        else:
            self._db.register("held", held)
        self._db.execute('CREATE TEMP VIEW counted AS SELECT * FROM lake ANTI JOIN held USING (partition, "offset")')

    def span(self) -> tuple[int, int] | None:
        """The oldest time of an event and the newest of receipt, in microseconds; None if the lake holds no event."""
        oldest, newest = self._one("SELECT epoch_us(min(occurred_at)), epoch_us(max(received_at)) FROM lake")
        return None if oldest is None else (oldest, newest)

    def users(self) -> list[str]:
        """Everybody whom some event names, sorted: users, and devices whose events name nobody else."""
        query = "SELECT DISTINCT coalesce(user_id, anonymous_id) AS id FROM counted WHERE type <> 'item' ORDER BY id"
        return [each for (each,) in self._db.execute(query).fetchall() if each is not None]

    def items(self) -> list[str]:
        """Every item that the catalogue describes or an event is about, sorted."""
        query = """
            SELECT DISTINCT item FROM (
                SELECT item_id AS item FROM lake
                UNION ALL SELECT unnest([x.item_id FOR x IN items]) FROM lake WHERE len(items) > 0
            ) WHERE item IS NOT NULL ORDER BY item"""
        return [each for (each,) in self._db.execute(query).fetchall()]

    def user_rows(self, users: Collection[str], now: int) -> tuple[Rows, dict[str, int]]:
        """The features of each of `users` at `now` (microseconds), and the time of the newest event of each.

        Somebody of whom no event counts has no row.
        """
        self._set(now)
        self._db.execute("CREATE OR REPLACE TEMP TABLE sampled (user_id VARCHAR)")
        self._db.execute("INSERT INTO sampled SELECT unnest(?)", [list(users)])
        self._run("facts", "whose", "heard", "users")
        counts = ", ".join(_counts(USER_KINDS, TILES))
        moments = ", ".join(f"moments.{name}" for name in MOMENTS)
        said = ", ".join(f"profiles.{name}" for name in PROFILE)
        query = f"""
            WITH windows AS (SELECT who, {counts} FROM heard GROUP BY who)
            SELECT moments.who AS id, moments.newest, windows.* EXCLUDE (who), {moments},
                   coalesce(spend_30d, 0)::DOUBLE AS spend_30d, coalesce(spend_90d, 0)::DOUBLE AS spend_90d,
                   coalesce(orders_90d, 0) AS orders_90d,
                   coalesce(recent_items, []) AS recent_items, coalesce(recent_at, []) AS recent_at, typical_price,
                   coalesce(top_categories, []) AS top_categories,
                   coalesce(top_category_weights, []) AS top_category_weights,
                   coalesce(cart_items, []) AS cart_items, cart_updated_at,
                   coalesce(wishlist_items, []) AS wishlist_items, coalesce(purchased_items, []) AS purchased_items,
                   {said}, lifecycle
            FROM moments JOIN windows USING (who)
            LEFT JOIN spending USING (who) LEFT JOIN recency USING (who) LEFT JOIN tastes USING (who)
            LEFT JOIN carts USING (who) LEFT JOIN cart_moments USING (who) LEFT JOIN wishes USING (who)
            LEFT JOIN purchased USING (who) LEFT JOIN profiles USING (who) LEFT JOIN lifecycles USING (who)
            """  # noqa: S608  # every name in it is a constant of this module
        rows = self._rows(query)
        return rows, {user: row.pop("newest") for user, row in rows.items()}

    def unjudged(self, users: Iterable[str]) -> set[str]:
        """Of those asked for last, whose opens and clicks need a verdict that is not said: a machine's, or not."""
        query = """
            SELECT DISTINCT who FROM heard
            WHERE type IN ('email_open', 'email_click') AND properties ->> '$.machine' IS NULL
              AND coalesce(
                properties ->> '$.user_agent', properties ->> '$.ip', properties ->> '$.context') IS NOT NULL"""
        return {who for (who,) in self._db.execute(query).fetchall()} & set(users)

    def item_rows(self, items: Collection[str], now: int) -> tuple[Rows, Rows]:
        """The views `item_stats` and `item_catalogue` of each of `items` at `now` (microseconds).

        An item that nothing describes has no row in the second.
        """
        self._set(now)
        self._run("facts", "items")
        counts = ", ".join(_counts(ITEM_KINDS, {name: TILES[name] for name in ("1h", "24h", "7d")}))
        stats = self._rows(
            f"SELECT item AS id, {counts}, any_value(trend) AS trend FROM met JOIN trends USING (item) GROUP BY item"  # noqa: S608
        )
        nothing = {f"{kind}_{window}": 0 for kind in ITEM_KINDS for window in ("1h", "24h", "7d")} | {"trend": 0.0}
        catalogue = self._rows(f"SELECT id, {', '.join(CATALOGUE)} FROM expected_catalogue")  # noqa: S608
        return (
            {item: stats.get(item, nothing) for item in items},
            {item: catalogue[item] for item in items if item in catalogue},
        )

    def trends(self) -> dict[str, float]:
        """Of every item with one, the trend at the time that `item_rows` was last asked of."""
        return dict(self._db.execute("SELECT item, trend FROM trends").fetchall())

    def countries(self) -> list[tuple[str, str, float, int]]:
        """Scope, item, score and purchases of what was done in each country, at the time last asked of."""
        self._run("countries")
        return self._db.execute("SELECT scope, item, score, bought FROM expected_countries").fetchall()

    def orders_by_day(self) -> dict[str, tuple[int, float]]:
        """How many orders there were on each day (UTC), and what they came to, refunds left aside."""
        found = self._db.execute(self._sql("orders")).fetchall()
        return {str(day): (orders, float(total)) for day, orders, total in found}

    def _set(self, now: int) -> None:
        self._db.execute(f"SET VARIABLE now = {int(now)}::BIGINT")

    def _run(self, *names: str) -> None:
        for name in names:
            self._db.execute(self._sql(name))

    def _sql(self, name: str) -> str:
        return (HERE / f"{name}.sql").read_text()

    def _one(self, query: str) -> tuple[Any, ...]:
        found = self._db.execute(query).fetchone()
        assert found is not None  # noqa: S101  # an aggregate has a row
        return found

    def _rows(self, query: str) -> Rows:
        cursor = self._db.execute(query)
        names = [column[0] for column in cursor.description or ()]
        return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in cursor.fetchall()}


def _counts(kinds: Mapping[str, str], tiles: Mapping[str, tuple[int, int]]) -> list[str]:
    """The columns of the windows: how many events lie in tiles that count."""
    return [
        f"count(*) FILTER (WHERE type = '{kind}' AND happened // {size} >= getvariable('now') // {size} - {back})"
        f" AS {name}_{window}"
        for name, kind in kinds.items()
        for window, (size, back) in tiles.items()
    ]
