"""The page at /demo as a visitor sees it, driven by Selenium."""

import json
import re
from collections.abc import Callable
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PAPER = "document.getElementById('paper').contentDocument"
PATIENCE = 15  # seconds; the page itself gives up after 10


class Page:
    """The page as a visitor sees it."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver, self.url = driver, url

    def open(self) -> "Page":
        """Loads the page as somebody who was never here, and waits for the first mail."""
        everything = {"origin": self.url, "storageTypes": "local_storage"}
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", everything)
        self.driver.get(f"{self.url}/demo")
        self.until(lambda: self.text("opened"))
        return self

    def until(self, holds: Callable[[], Any]) -> Any:
        """Waits until something holds, and hands it back."""
        return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _driver: holds())

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, element_id: str) -> str:
        return str(self.driver.execute_script("return document.getElementById(arguments[0]).textContent", element_id))

    def click(self, selector: str) -> None:
        self.until(lambda: self.one(selector).is_displayed())
        self.one(selector).click()

    def mail(self) -> str:
        """The words of the mail."""
        return str(self.driver.execute_script(f"return {PAPER}.body.innerText"))

    def shown(self) -> set[str]:
        """The ids of the products that the mail shows, as its links say."""
        hrefs = self.driver.execute_script(f"return [...{PAPER}.links].map((a) => a.href.split('/').at(-3))")
        return set(hrefs)

    def opened(self) -> str:
        """The id of the product that is open in the shop."""
        return self.driver.current_url.split("#/p/")[1]

    def product(self, index: int = 0) -> str:
        """Opens a product that is in stock, from the grid, and hands back its title."""
        self.click(".shop-name")
        self.until(lambda: self.one("#grid").is_displayed())
        in_stock = "return [...document.querySelectorAll('#grid a')].filter((a) => !a.querySelector('.sold'))"
        card = self.driver.execute_script(in_stock)[index]
        title = str(card.find_element(By.CSS_SELECTOR, ".title").text)
        card.click()
        self.until(lambda: self.text("item-title") == title)
        return title

    def timed(self, words: str) -> float:
        """Waits until the newest time is that of the click named by `words`, and hands back its seconds."""
        self.until(lambda: self.text("status").startswith(f"You {words}"))
        self.until(lambda: self.one("body").get_attribute("data-clock") in {"changed", "known"})
        found = re.search(r"after (\d+\.\d\d) s\.$", self.text("status"))
        assert found, self.text("status")
        return float(found[1])

    def choose(self, layout: str) -> None:
        """Turns to another mail and waits until it is drawn."""
        self.click(f"#layouts [data-layout={layout}]")
        self.until(lambda: f"/v1/blocks/{layout}?" in self.text("got-line"))

    def sent(self) -> Any:
        """What was posted last, read from the strip for developers."""
        return json.loads(self.text("sent"))

    def errors(self) -> list[str]:
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in log if entry["level"] == "SEVERE"]

    def block(self, *patterns: str) -> None:
        """Makes requests to these addresses fail, as if nobody answered; none lets all through again."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(patterns)})

    def emulate(self, width: int, height: int, **features: str) -> None:
        """A window of this size in CSS pixels, with media features such as `prefers_color_scheme="dark"`."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
