"""The quality report in a real browser, served by its own routes: a key is asked for, and nothing is fetched or run."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI
from selenium import webdriver

from api import problems
from api.access import Keys
from api.quality import routes
from expectations.report.__main__ import entities
from expectations.report.offenders import worst
from expectations.report.site import Site
from tests.browser.page import Page
from tests.browser.test_demo_page import driver  # noqa: F401  # the same browser, set up the same way
from tests.made_up_lake import FolderLake, write
from tests.unit.expectations.test_report import HOURS, LAST, NOON, in_cents, letter

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
SIDEWAYS = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a report with alarms in it, with the key in it as a browser takes it."""
    folder = tmp_path_factory.mktemp("quality")
    write(folder / "lake", HOURS, rate=300, cents=(LAST, in_cents))
    held = worst([letter("row", "item", "expect_column_values_to_be_between(price)", NOON)], LAST)
    Site(folder / "report", entities(), 120).write(FolderLake(folder / "lake"), held, NOON)
    app = FastAPI()
    problems.install(app)
    app.include_router(routes(folder / "report", Keys(["sesame"], "read")))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://anna:sesame@127.0.0.1:{listening.getsockname()[1]}/quality/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str) -> Page:  # noqa: F811  # pytest's way
    page = Page(driver, url)
    page.block()
    page.emulate(1280, 900)
    driver.get(url)
    page.errors()
    driver.get(url)
    return page


def test_the_page_says_what_broke_and_shows_it(page: Page) -> None:
    assert page.text("on-call").startswith("The price of ")
    assert page.one("#on-call").is_displayed()
    drawn = page.driver.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    assert len(drawn) >= 4
    assert all(drawn)
    assert page.errors() == []


def test_nothing_comes_from_elsewhere(page: Page) -> None:
    fetched = page.driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {urlsplit(each).netloc for each in fetched if not each.startswith("data:")} <= {urlsplit(page.url).netloc}


def test_on_a_phone_nothing_hangs_out_sideways(page: Page) -> None:
    page.emulate(375, 812)
    assert page.driver.execute_script(SIDEWAYS) == 0
    widest = page.driver.execute_script("return Math.max(...[...document.images].map((image) => image.clientWidth))")
    assert 300 < widest <= 375


def test_data_docs_open_and_their_policy_lets_them(page: Page) -> None:
    page.click("#suites ~ p a, section a[href='docs/index.html']")
    page.until(lambda: page.driver.title == "Data Docs")
    page.click("a[href^=validations]")
    page.until(lambda: "user" in page.driver.current_url)
    assert "broken" in page.driver.execute_script(
        "return [...document.querySelectorAll('.text-danger')].map((n) => getComputedStyle(n, '::before').content)[0]"
    )
    page.emulate(375, 812)
    assert page.driver.execute_script(SIDEWAYS) == 0
    assert page.errors() == []


def test_in_the_dark_the_page_is_dark(page: Page) -> None:
    page.emulate(1280, 900, prefers_color_scheme="dark")
    ground = page.driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(18, 17, 16)"
