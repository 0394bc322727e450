"""The page at /demo in a real browser: shop on one side, mail on the other.

It runs against a double of the service, or against the product itself where `INLAY_DEMO_URL` says where that answers.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.browser import fake_api
from tests.browser.fake_api import PAGE, FakeApi
from tests.browser.page import PAPER, Page

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SHOWS_VIEWS, SHOWS_CART = "weekly", "abandoned_cart"  # a mail with what was viewed, and one with the cart


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where the page is: the product that `INLAY_DEMO_URL` names, or a double of its own."""
    if real := os.environ.get("INLAY_DEMO_URL"):
        yield real.rstrip("/")
        return
    with FakeApi(delay=0.05) as api:
        yield api.url


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    for program in (CHROMIUM, CHROMEDRIVER):
        if not program.exists():
            pytest.skip(f"{program} is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    yield chrome
    chrome.quit()


@pytest.fixture
def page(driver: webdriver.Chrome, base_url: str) -> Page:
    """The page on a desk, light, for a new visitor, with a silent console."""
    page = Page(driver, base_url)
    page.block()
    page.emulate(1440, 900)
    page.open()
    page.errors()
    return page


def test_a_viewed_product_stands_in_the_mail_and_the_seconds_are_told(page: Page) -> None:
    page.choose(SHOWS_VIEWS)
    title = page.product(3)
    seconds = page.timed(f"viewed {title}")
    assert 0 < seconds < 10
    assert page.opened() in page.shown()
    assert page.text("seconds") == f"{seconds:.2f}"
    first = page.one("#history li")
    assert first.text.startswith(f"viewed {title}"[:12])
    assert first.text.endswith(f"{seconds:.2f} s")
    assert page.errors() == []


def test_what_is_new_in_the_mail_is_marked(page: Page) -> None:
    page.choose(SHOWS_VIEWS)
    page.timed(f"viewed {page.product(3)}")
    assert page.driver.execute_script(f"return {PAPER}.querySelectorAll('.fresh').length") >= 1
    assert page.driver.execute_script(f"return {PAPER}.getAnimations().length") >= 1


def test_the_cart_shows_in_the_mail_and_what_was_bought_never_again(page: Page) -> None:
    page.choose(SHOWS_CART)
    title = page.product(1)
    item_id = page.opened()
    page.timed(f"viewed {title}")
    page.click("#add")
    page.timed(f"added {title} to the cart")
    assert item_id in page.shown()
    assert page.text("cart-count") == "1"
    page.click(".cart-link")
    page.click("#buy")
    page.timed(f"bought {title}")
    assert page.text("cart-count") == "0"
    assert item_id not in page.shown()
    for layout in ("welcome", "weekly", "post_purchase"):
        page.choose(layout)
        assert page.shown(), layout
        assert item_id not in page.shown(), layout
    assert page.errors() == []


def test_a_product_taken_out_of_the_cart_leaves_the_mail(page: Page) -> None:
    page.choose(SHOWS_CART)
    title = page.product(2)
    page.click("#add")
    page.timed(f"added {title} to the cart")
    page.click(".cart-link")
    page.click("#lines button")
    page.timed(f"took {title} out of the cart")
    assert title not in page.text("lines")
    assert page.sent()["type"] == "remove_from_cart"
    assert page.one("#no-lines").is_displayed()


def test_the_mail_that_shows_more_of_it_is_one_click_away(page: Page) -> None:
    page.choose("weekly")
    title = page.product()
    page.click("#add")
    page.timed(f"added {title} to the cart")
    page.click(".hint[data-layout=abandoned_cart]")
    page.until(lambda: "/v1/blocks/abandoned_cart?" in page.text("got-line"))
    assert page.opened() in page.shown()
    assert not page.one(".hint[data-layout=abandoned_cart]").is_displayed()


def test_events_are_posted_as_the_contract_says(page: Page) -> None:
    title = page.product()
    page.timed(f"viewed {title}")
    view = page.sent()
    assert view["type"] == "view"
    assert view["user_id"] == page.text("to")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", view["event_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", view["occurred_at"])
    page.click("#add")
    page.timed(f"added {title} to the cart")
    added = page.sent()
    assert {key: added[key] for key in ("type", "item_id", "quantity", "price", "currency")} == {
        "type": "add_to_cart",
        "item_id": view["item_id"],
        "quantity": 1,
        "price": view["price"],
        "currency": view["currency"],
    }
    assert added["event_id"] != view["event_id"]
    page.click(".cart-link")
    page.click("#buy")
    page.timed(f"bought {title}")
    bought = page.sent()
    assert bought["items"] == [{"item_id": view["item_id"], "quantity": 1, "price": view["price"]}]
    assert bought["order_id"]
    assert "POST /v1/events202" in page.text("sent-line")


def test_event_ids_do_not_need_a_secure_context(page: Page) -> None:
    page.driver.execute_script("Object.defineProperty(crypto, 'randomUUID', {value: undefined})")
    page.timed(f"viewed {page.product()}")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", page.sent()["event_id"])


def test_a_link_of_the_mail_opens_the_product_in_the_shop(page: Page) -> None:
    paper = page.one("#paper")
    page.driver.switch_to.frame(paper)
    link = page.one("a[href]")
    href = str(link.get_attribute("href"))
    link.click()
    page.driver.switch_to.default_content()
    page.until(lambda: page.one(".view-item").is_displayed())
    page.until(lambda: page.text("sent").startswith("["))
    click, view = page.sent()
    assert (click["type"], view["type"]) == ("email_click", "view")
    assert click["item_id"] == view["item_id"] == href.split("/")[-3]
    assert (click["layout"], click["slot"]) == ("weekly", 1)
    assert page.driver.current_url.endswith(f"/demo#/p/{view['item_id']}")


def test_a_mail_runs_no_script_and_leads_nowhere_else(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    if "INLAY_DEMO_URL" in os.environ:
        pytest.skip("the product draws its own mail; this one is the double's")
    hostile = (
        "<script>parent.document.title = 'run'</script><img src='x' onerror=\"parent.document.title = 'run'\">"
        "<a id='out' href='https://elsewhere.example/'>out</a><a href=\"javascript:parent.document.title='run'\">js</a>"
        "<form action='https://elsewhere.example/'><button>send</button></form><base href='https://elsewhere.example/'>"
    )
    monkeypatch.setattr(fake_api, "html", lambda _answer: hostile)
    page.choose("welcome")
    page.until(lambda: "out" in page.mail())
    left = f"return {PAPER}.querySelectorAll('[href], form, script, base').length"
    assert page.driver.execute_script(left) == 0
    assert page.driver.title.startswith("Inlay")


def test_a_catalogue_is_text_and_never_markup(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    if "INLAY_DEMO_URL" in os.environ:
        pytest.skip("the catalogue is the double's")
    title = "<img src=x onerror=\"document.title='run'\">"
    monkeypatch.setitem(fake_api.PRODUCTS[0], "title", title)
    page.driver.refresh()
    page.until(lambda: page.all("#grid .title"))
    assert page.product() == title
    page.timed("viewed <img")
    assert title in page.text("history")
    assert page.driver.title.startswith("Inlay")


def test_an_api_that_is_down_is_said_and_forgotten_when_it_is_back(page: Page) -> None:
    page.block("*/v1/*")
    page.product()
    page.until(lambda: "The API does not answer" in page.text("trouble"))
    assert page.one("#trouble").is_displayed()
    assert page.one("#trouble").get_attribute("role") == "alert"
    assert "was not taken" in page.text("trouble")
    page.block()
    page.timed(f"viewed {page.product(1)}")
    assert not page.one("#trouble").is_displayed()


def test_a_mail_that_does_not_change_is_said_after_ten_seconds(driver: webdriver.Chrome) -> None:
    if "INLAY_DEMO_URL" in os.environ:
        pytest.skip("the product's flow runs; only the double can be without one")
    faster = "const real = performance.now.bind(performance); performance.now = () => 20 * real();"
    script = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": faster})
    try:
        with FakeApi(delay=3600) as api:
            page = Page(driver, api.url).open()
            page.product()
            page.until(lambda: "did not change within 10 s. Is the flow running?" in page.text("trouble"))
            assert page.text("seconds") == "10"
            assert page.text("status").endswith("Not in your mail after 10 s.")
            assert len(api.posted) == 1
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_polls_never_overlap(driver: webdriver.Chrome) -> None:
    if "INLAY_DEMO_URL" in os.environ:
        pytest.skip("only the double counts the requests under way")
    with FakeApi(delay=0.5, slowness=0.2) as api:
        page = Page(driver, api.url).open()
        title = page.product()
        page.click("#add")
        page.click("#layouts [data-layout=welcome]")
        page.timed(f"added {title} to the cart")
        assert api.most_at_once == 1


def test_each_visitor_has_a_mail_and_a_cart_of_their_own(page: Page) -> None:
    me = page.text("to")
    assert re.fullmatch(r"visitor-[0-9a-f]{8}", me)
    page.choose(SHOWS_CART)
    title = page.product()
    page.click("#add")
    page.timed(f"added {title} to the cart")
    page.click("#new-visitor")
    page.until(lambda: page.text("to") != me)
    page.until(lambda: page.text("cart-count") == "0")
    assert page.all("#history li") == []
    other = page.text("to")
    page.driver.refresh()
    page.until(lambda: page.text("opened"))
    assert page.text("to") == other


def test_simulated_shoppers_are_called_so(page: Page) -> None:
    shoppers = Select(page.one("#visitor"))
    simulated = [option.text for option in shoppers.options if str(option.get_attribute("value")).startswith("sim-")]
    assert len(simulated) >= 3
    assert all(text.endswith("(simulated)") for text in simulated)
    shoppers.select_by_value("sim-0002")
    page.until(lambda: "user_id=sim-0002" in page.text("got-line"))
    page.timed(f"viewed {page.product()}")
    assert page.sent()["user_id"] == "sim-0002"


def test_chips_and_search_narrow_the_shop(page: Page) -> None:
    everything = len(page.all("#grid li"))
    chip = page.all("#chips button")[1]
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    assert 0 < len(page.all("#grid li")) < everything
    page.click("#chips button")
    title = page.one("#grid .title").text
    page.one("#query").send_keys(title)
    assert title in [element.text for element in page.all("#grid .title")]
    assert len(page.all("#grid li")) < everything
    page.one("#query").send_keys(Keys.ENTER)
    page.until(lambda: page.text("sent").startswith("{"))
    assert (page.sent()["type"], page.sent()["query"]) == ("search", title)


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.one("#grid a").send_keys(Keys.ENTER)
    page.until(lambda: page.one(".view-item").is_displayed())
    page.until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "item-title")
    page.one("#add").send_keys(Keys.ENTER)
    page.until(lambda: page.text("status").startswith("You added"))
    focused = "return getComputedStyle(document.activeElement).outlineStyle"
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert page.driver.execute_script(focused) == "solid"


def test_every_picture_has_words_and_every_control_a_name(page: Page) -> None:
    page.product()
    nameless = page.driver.execute_script(
        "return [...document.querySelectorAll('img:not([alt]), button, input, select, a')]"
        ".filter((n) => n.tagName === 'IMG' || !(n.textContent.trim() || n.ariaLabel || n.labels?.length))"
        ".filter((n) => n.id !== 'toast').map((n) => n.outerHTML)"
    )
    assert nameless == []
    assert page.one("#status").get_attribute("aria-live") == "polite"


def test_on_a_phone_there_is_one_pane_and_a_word_about_the_seconds(page: Page) -> None:
    page.emulate(375, 812)
    assert not page.one("#paper").is_displayed()
    title = page.product(7)
    page.until(lambda: page.one("#toast").is_displayed())
    assert page.driver.execute_script("return scrollY") == 0
    assert re.fullmatch(r"(In your mail|Known) after \d+\.\d\d s", page.one("#toast").text)
    assert page.driver.execute_script("return document.documentElement.scrollWidth") == 375
    page.one("#toast").click()
    assert page.one("#paper").is_displayed()
    assert not page.one("#grid").is_displayed()
    assert page.driver.execute_script("return document.documentElement.scrollWidth") == 375
    assert page.text("status").startswith(f"You viewed {title}. ")
    page.click("[data-tab=shop]")
    assert page.one("#item-title").is_displayed()
    assert page.errors() == []


def test_in_the_dark_the_mail_stays_paper(page: Page) -> None:
    page.emulate(1440, 900, prefers_color_scheme="dark")
    colours = page.driver.execute_script(
        "const of = (n) => n.ownerDocument.defaultView.getComputedStyle(n).backgroundColor;"
        f"return [of(document.documentElement), of({PAPER}.documentElement)]"
    )
    assert colours == ["rgb(18, 17, 16)", "rgb(255, 255, 255)"]


def test_who_wants_no_motion_gets_none(page: Page) -> None:
    page.emulate(1440, 900, prefers_reduced_motion="reduce")
    page.choose(SHOWS_VIEWS)
    page.timed(f"viewed {page.product(3)}")
    assert page.driver.execute_script(f"return {PAPER}.querySelectorAll('.fresh').length") >= 1
    assert page.driver.execute_script(f"return {PAPER}.getAnimations().length + document.getAnimations().length") == 0


def test_everything_comes_from_the_same_place(page: Page) -> None:
    page.timed(f"viewed {page.product()}")
    fetched = page.driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {urlsplit(url).netloc for url in fetched if not url.startswith("data:")} == {urlsplit(page.url).netloc}


def test_the_script_stays_small() -> None:
    assert sum(script.stat().st_size for script in PAGE.glob("*.js")) < 21 * 1024
