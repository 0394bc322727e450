"""What the snapshot finds: the newest, the cheaper and the returned, of the shop and of its categories."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from api.known import CatalogueRow, ScopeFeatures
from api.layout import load_layouts
from api.plans import BlockPlan, Layout
from api.remembered import keep_remembering, recall, remember
from api.snapshot import ITEMS, LISTED, MOMENTS, PORTION, Snapshot, refresh
from tests.unit.api.shop import CATALOGUE, Shop, Store, drawn, items

DAY = 86_400
NOW = 1_778_995_800  # as the shop's clock says
CATEGORIES = (None, "A", "A/B", "A/B/C", "AB", "C")


def looked(store: Store, *, wide: bool = True) -> Snapshot:
    snapshot = Snapshot()
    asyncio.run(refresh(snapshot, store, wide=wide))  # type: ignore[arg-type]
    return snapshot


@given(
    st.lists(st.tuples(st.sampled_from(CATEGORIES), *(st.sampled_from([None, 1, 2, 3]) for _ in MOMENTS)), max_size=12)
)
def test_each_scope_lists_its_items_by_their_moments_newest_first(
    found: list[tuple[str | None, int | None, int | None, int | None]],
) -> None:
    rows = {
        f"i{number:02}": CatalogueRow(category=category, **dict(zip(MOMENTS, moments, strict=True)))  # type: ignore[arg-type]
        for number, (category, *moments) in enumerate(found)
    }
    snapshot = Snapshot()
    snapshot.take(ScopeFeatures(), rows)
    for moment in MOMENTS:
        scopes = ["all", *(f"category:{each}" for each in CATEGORIES if each)]
        for scope in scopes:
            inside = [
                item_id
                for item_id, row in rows.items()
                if scope == "all" or f"{row.category}/".startswith(f"{scope.partition(':')[2]}/")
            ]
            dated = [item_id for item_id in inside if getattr(rows[item_id], moment) is not None]
            expected = sorted(dated, key=lambda item_id, at=moment: (-getattr(rows[item_id], at), item_id))  # type: ignore[misc]
            assert list(snapshot.lately[moment].get(scope, ())) == expected


def test_a_scope_lists_only_so_many() -> None:
    snapshot = Snapshot()
    snapshot.take(ScopeFeatures(), {f"i{number:03}": CatalogueRow(added_at=number) for number in range(LISTED + 9)})
    assert len(snapshot.lately["added_at"]["all"]) == LISTED


class TestWide:
    """What is popular in the categories of what is popular is looked through too, now and then."""

    def store(self) -> Store:
        store = Store()
        store.popular = {
            "all": ScopeFeatures(["p00"], ["p01"]),
            "category:A": ScopeFeatures(["p02"], ["p03"]),
            "category:A/B": ScopeFeatures(["p04"], []),
            "category:Z": ScopeFeatures(["p05"], []),
        }
        store.rows["p01"] = replace(CATALOGUE["p01"], category="A/B")
        return store

    def test_it_finds_the_items_of_every_level_of_a_category(self) -> None:
        assert set(looked(self.store()).catalogue) == {"p00", "p01", "p02", "p03", "p04"}

    def test_in_between_only_what_is_popular_everywhere_is_read_and_the_rest_stays(self) -> None:
        store = self.store()
        assert set(looked(store, wide=False).catalogue) == {"p00", "p01"}
        snapshot = looked(store)
        store.rows["p00"] = store.rows["p02"] = replace(CATALOGUE["p00"], title="Newer")
        asyncio.run(refresh(snapshot, store))  # type: ignore[arg-type]
        assert (snapshot.catalogue["p00"].title, snapshot.catalogue["p02"].title) == ("Newer", "Thing p02")

    def test_what_is_popular_no_more_is_forgotten_at_the_next_wide_look(self) -> None:
        store = self.store()
        snapshot = looked(store)
        store.popular["category:A"] = ScopeFeatures(["p09"], [])
        asyncio.run(refresh(snapshot, store, wide=True))  # type: ignore[arg-type]
        assert set(snapshot.catalogue) == {"p00", "p01", "p04", "p09"}

    def test_many_items_are_read_in_portions_and_not_without_end(self) -> None:
        sizes: list[int] = []

        class Large(Store):
            async def catalogue(self, item_ids: Collection[str]) -> dict[str, CatalogueRow]:
                sizes.append(len(item_ids))
                return {item_id: CatalogueRow(category="A") for item_id in item_ids}

        store = Large()
        store.popular = {"all": ScopeFeatures(["p00"]), "category:A": ScopeFeatures([f"m{n}" for n in range(5000)])}
        assert len(looked(store).catalogue) == ITEMS
        assert max(sizes) <= PORTION


LATELY = {"new_arrivals": "added_at", "price_drop": "price_dropped_at", "back_in_stock": "restocked_at"}


@pytest.mark.parametrize(("kind", "moment"), LATELY.items())
def test_a_mail_shows_what_came_lately_in_the_shop_with_the_day(kind: str, moment: str) -> None:
    shop = Shop({"mine": Layout("mine", (BlockPlan(kind, "Lately", "Else", fallback=()),))}, snapshot=False)
    shop.store.rows["p01"] = replace(CATALOGUE["p01"], **{moment: NOW - 3 * DAY})
    shop.store.rows["p03"] = replace(CATALOGUE["p03"], **{moment: NOW - DAY})
    shop.store.rows["p04"] = replace(CATALOGUE["p04"], **{moment: NOW - 31 * DAY})
    asyncio.run(refresh(shop.snapshot, shop.store, wide=True))  # type: ignore[arg-type]
    mail = shop.mail("mine", "nobody")
    assert items(mail) == [["p03", "p01"]]
    (block,) = drawn(mail)
    assert (block["title"], block["source"]) == ("Lately", "popular")
    assert [item["reason"].partition("since ")[2] for item in block["items"]] == ["May 16", "May 14"]


def test_what_the_user_viewed_and_became_cheaper_comes_first_even_if_nobody_else_cares() -> None:
    shop = Shop({"mine": Layout("mine", (BlockPlan("price_drop", "Now for less", fallback=()),))}, snapshot=False)
    shop.store.rows["p01"] = replace(CATALOGUE["p01"], price_dropped_at=NOW)
    shop.store.rows["p09"] = replace(CATALOGUE["p09"], price_dropped_at=NOW - 5 * DAY)
    shop.store.popular = {"all": ScopeFeatures(["p01"])}
    asyncio.run(refresh(shop.snapshot, shop.store))  # type: ignore[arg-type]
    assert items(shop.mail("mine", "u1")) == [["p09", "p01"]]  # u1 viewed p09


def test_a_mail_speaks_the_language_of_its_reader() -> None:
    shop = Shop(load_layouts())
    shop.store.users["u1"] = replace(shop.store.users["u1"], locale="de-AT")
    mail = shop.mail()
    assert (mail["locale"], drawn(mail)[0]["title"]) == ("de-AT", "Schon angesehen")
    assert drawn(mail)[0]["items"][0]["reason"] == "zuletzt angesehen"
    html = shop.get("/v1/blocks/weekly", user_id="u1", format="html").text
    assert 'lang="de-AT"' in html
    assert "Ansehen" in html


class TestRemembered:
    """The snapshot on disk."""

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        known, read = looked(Store()), Snapshot()
        remember(known, tmp_path / "snapshot")
        assert recall(read, tmp_path / "snapshot")
        assert (read.fallback, read.catalogue) == (known.fallback, known.catalogue)
        assert list(read.everywhere.items) == list(known.everywhere.items)
        assert [each.name for each in tmp_path.iterdir()] == ["snapshot"]

    def test_an_empty_one_takes_the_place_of_none(self, tmp_path: Path) -> None:
        remember(looked(Store()), file := tmp_path / "snapshot")
        before = file.read_bytes()
        remember(Snapshot(), file)
        assert file.read_bytes() == before

    @pytest.mark.parametrize("content", [None, b"", b"\xc1", b"{}", b"\x92\x01\x02"])
    def test_what_cannot_be_read_changes_nothing(self, tmp_path: Path, content: bytes | None) -> None:
        file, snapshot = tmp_path / "snapshot", Snapshot()
        if content is not None:
            file.write_bytes(content)
        assert not recall(snapshot, file)
        assert snapshot == Snapshot()

    def test_it_is_written_now_and_then_and_a_failure_is_said_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def some_time(file: Path) -> None:
            writing = asyncio.create_task(keep_remembering(looked_at, file, 0.001))
            while not (file.exists() or len(caplog.records) > 0):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

        looked_at = looked(Store())
        asyncio.run(some_time(tmp_path / "snapshot"))
        assert recall(Snapshot(), tmp_path / "snapshot")
        asyncio.run(some_time(tmp_path / "missing" / "snapshot"))
        assert ["INLAY_SNAPSHOT" in record.getMessage() for record in caplog.records] == [True]
