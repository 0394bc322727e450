"""Pictures of slots: small whatever is drawn, whole, in every direction; and kept, shared and bounded."""

from __future__ import annotations

import asyncio
import io
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from api import pictures
from api.outgoing import Refused
from api.picture import HEIGHT, MOST_BYTES, MOST_DOTS, WIDTH, Card, blank, draw, shrunk
from api.pictures import AGAIN, MOST_KEPT, Pictures
from tests.unit.api.shop import counted

CARD = Card("Enamel kettle", "€59.00", "€79.00", "View")


def photo(width: int = 90, height: int = 70, kind: str = "JPEG", mode: str = "RGB", *, noise: bool = False) -> bytes:
    image = Image.new(mode, (width, height), 128 if mode in "LP" else None)
    if noise:
        image = Image.frombytes("RGB", (width, height), random.Random(7).randbytes(width * height * 3))
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    assert len(png) <= MOST_BYTES
    return image


def test_a_card_and_a_photo_are_of_one_size() -> None:
    for drawn in (draw(CARD, None), draw(CARD, shrunk(photo()))):
        assert opened(drawn).size == (2 * WIDTH, 2 * HEIGHT)
    assert draw(CARD, None) == draw(CARD, None)


def test_a_photo_of_noise_is_drawn_smaller() -> None:
    image = opened(draw(CARD, shrunk(photo(530, 530, noise=True))))
    assert image.size in ((2 * WIDTH, 2 * HEIGHT), (WIDTH, HEIGHT))


@given(
    title=st.text(max_size=120), price=st.text(max_size=30), was=st.text(max_size=30), button=st.text(max_size=30),
    rtl=st.booleans(),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_any_text_can_be_drawn(title: str, price: str, was: str, button: str, rtl: bool) -> None:
    assert opened(draw(Card(title, price, was, button, rtl), None)).size == (2 * WIDTH, 2 * HEIGHT)


def test_what_runs_from_right_to_left_stands_at_the_right() -> None:
    def ink(card: Card) -> tuple[int, int]:
        band = opened(draw(card, None)).convert("L").crop((0, 2 * WIDTH + 20, 2 * WIDTH, 2 * WIDTH + 60))
        left, _, right, _ = band.point(lambda dot: 255 if dot < 100 else 0).getbbox() or (0, 0, 0, 0)
        return left, 2 * WIDTH - right

    left, right = ink(Card("شاي", "", "", "", True))
    assert right < 20 < left
    left, right = ink(Card("Tea", "", "", ""))
    assert left < 20 < right


def test_a_script_that_the_font_has_not_leaves_no_boxes() -> None:
    assert draw(Card("赤いホーローケトル", "", "", ""), None) == draw(Card("", "", "", ""), None)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "LA"), ("GIF", "P"), ("WEBP", "RGB")],
)
def test_photos_of_all_sorts_are_read(kind: str, mode: str) -> None:
    opened(draw(CARD, shrunk(photo(kind=kind, mode=mode))))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", photo()[:200], photo(kind="PNG")[:60], b"GIF89a" + b"\xff" * 50,
        photo(kind="BMP"), photo(kind="TIFF"), photo(1, MOST_DOTS + 1, "PNG", "1"),
    ],
)  # fmt: skip
def test_what_is_no_photo_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        shrunk(content)


def given_(kind: str) -> float:
    return counted("inlay_pictures_total", given=kind)


def test_a_picture_is_drawn_once_and_its_photo_fetched_once_whoever_asks_at_once() -> None:
    asked: list[str] = []

    async def story() -> None:
        def fetch(url: str) -> bytes:
            asked.append(url)
            return photo()

        kept = Pictures(fetch)
        many = await asyncio.gather(*(kept.picture(CARD, "https://shop.example/1.jpg") for _ in range(20)))
        assert len(set(many)) == 1
        before = given_("kept")
        assert await kept.picture(CARD, "https://shop.example/1.jpg") == many[0]
        assert given_("kept") == before + 1
        assert await kept.picture(CARD._replace(price="€1"), "https://shop.example/1.jpg") != many[0]
        await kept.close()

    asyncio.run(story())
    assert asked == ["https://shop.example/1.jpg"]


@pytest.mark.parametrize("failure", [OSError("gone"), Refused("no"), None], ids=["gone", "refused", "no picture"])
def test_a_photo_that_cannot_be_had_costs_the_photo_and_is_asked_for_again_later(failure: Exception | None) -> None:
    asked: list[str] = []
    now = 0.0

    async def story() -> None:
        nonlocal now

        def fetch(url: str) -> bytes:
            asked.append(url)
            if failure:
                raise failure
            return b"no picture"

        kept = Pictures(fetch, lambda: now)
        for _ in range(3):
            assert await kept.picture(CARD, "https://shop.example/1.jpg") == draw(CARD, None)
        assert len(asked) == 1
        now += AGAIN
        await kept.picture(CARD, "https://shop.example/1.jpg")
        assert len(asked) == 2
        await kept.close()

    asyncio.run(story())


def test_a_photo_that_is_late_is_there_for_the_next_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PATIENCE", 0.01)

    async def story() -> None:
        come = threading.Event()

        def fetch(_: str) -> bytes:
            come.wait(20)
            return photo()

        kept = Pictures(fetch)
        assert await kept.picture(CARD, "https://shop.example/1.jpg") == draw(CARD, None)
        come.set()
        while kept._fetching:
            await asyncio.sleep(0.01)
        assert await kept.picture(CARD, "https://shop.example/1.jpg") == draw(CARD, shrunk(photo()))
        await kept.close()

    asyncio.run(story())


def test_more_than_can_be_drawn_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_WAITING", 2)

    async def story() -> None:
        kept = Pictures(lambda _: photo())
        cards = [CARD._replace(title=f"Thing {number}") for number in range(9)]
        drawn = await asyncio.gather(*(kept.picture(card, None) for card in cards))
        assert sum(png == blank() for png in drawn) == 7
        await kept.close()

    asyncio.run(story())


def test_what_cannot_be_drawn_is_nothing_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bytes:
        raise MemoryError

    async def story() -> None:
        kept = Pictures(lambda _: photo())
        with monkeypatch.context() as patch:
            patch.setattr(pictures.picture, "draw", fails)
            assert await kept.picture(CARD, None) == blank()
        assert await kept.picture(CARD, None) == draw(CARD, None)
        await kept.close()

    asyncio.run(story())


def test_pictures_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures.picture, "draw", lambda card, _: card.title.encode())

    async def story() -> None:
        kept = Pictures(lambda _: photo())
        for number in range(MOST_KEPT + 9):
            await kept.picture(CARD._replace(title=str(number)), None)
        assert len(kept._kept) == MOST_KEPT
        await kept.close()

    asyncio.run(story())
