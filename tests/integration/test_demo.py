"""`make demo` as a newcomer meets it: started, used with the commands of the README, seen in a browser, stopped."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.demo.embedded import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
pytestmark = pytest.mark.integration


class Demo:
    """A demo with its state in a folder of its own."""

    def __init__(self, folder: Path, path: str | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "demo.log"
        plain = {name: value for name, value in os.environ.items() if not name.startswith("INLAY_")}
        self.environ = plain | {"INLAY_VAR": str(folder), "INLAY_PORT": str(self.port), "PATH": path or plain["PATH"]}

    def __enter__(self) -> "Demo":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api.demo"], cwd=ROOT, env=self.environ, stdout=log, stderr=log
            )
        give_up_at = time.monotonic() + 120
        while "API key: " not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < give_up_at, self.said()
            time.sleep(0.1)
        return self

    def __exit__(self, *error: object) -> None:
        self.children = _children(self.process.pid)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def said(self) -> str:
        return self.log.read_text()

    @property
    def key(self) -> str:
        return re.findall(r"^API key: (\S+)$", self.said(), re.MULTILINE)[-1]

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Api-Key": self.key}


def _children(pid: int) -> list[int]:
    """The processes started by a process, and those started by them."""
    direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return direct + [below for child in direct for below in _children(child)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Demo]:
    with Demo(folder) as demo:
        yield demo
    assert demo.process.returncode == 0
    assert len(demo.children) >= 5
    assert not [pid for pid in demo.children if Path(f"/proc/{pid}").exists()]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{demo.url}/health/live")


def _run(command: str, demo: Demo) -> dict[str, object]:
    """A command of the README, as it stands there but for the port."""
    shell = command.replace("http://127.0.0.1:8000", demo.url)
    done = subprocess.run(
        ["bash", "-c", shell], env=demo.environ | {"KEY": demo.key}, capture_output=True, text=True, check=True
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readmes_commands_put_a_cart_into_a_block(demo: Demo) -> None:
    post, get = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    assert _run(post, demo) == {"accepted": 1, "refused": []}
    item = re.search(r'"item_id": "(\w+)"', post)
    assert item is not None
    give_up_at = time.monotonic() + 20
    while True:
        block = _run(get, demo)["blocks"][0]  # type: ignore[index]
        if block["source"] == "personal":
            assert [each["item_id"] for each in block["items"]] == [item[1]]
            return
        assert time.monotonic() < give_up_at, block
        time.sleep(0.1)


def test_a_simulated_shopper_has_a_mail_with_pictures_that_exist(demo: Demo) -> None:
    with httpx.Client(base_url=demo.url, headers=demo.headers) as api:
        assert api.get("/health/ready").status_code == 200
        answer = api.get("/v1/blocks/weekly", params={"user_id": "sim-0001"}).json()
        shown = [item for block in answer["blocks"] for item in block["items"]]
        assert len({item["item_id"] for item in shown}) == len(shown) == 12
        assert answer["blocks"][0]["source"] == "personal"
        for item in shown:
            assert api.get(item["image_url"]).headers["content-type"] == "image/jpeg"
        page = api.get("/v1/blocks/weekly", params={"user_id": "sim-0001", "format": "html"}).text
        assert all(item["image_url"] in page for item in shown)


def test_its_mails_have_pictures_and_links_that_lead_into_the_shop(demo: Demo, folder: Path) -> None:
    """As a mail program follows them, without a key; the demo's own secret is kept, and is nobody else's to read."""
    with httpx.Client(base_url=demo.url) as api:
        said = {"user_id": "sim-0001", "send_id": "open-1"}
        slots = api.get("/v1/open-links/weekly", params=said, headers=demo.headers).json()["slots"]
        mail = api.get("/v1/blocks/weekly", params=said, headers=demo.headers).json()
        first, item = slots[0], mail["blocks"][0]["items"][0]
        assert (first["block"], first["slot"]) == (mail["blocks"][0]["block"], 1)
        picture = api.get(first["open_url"])
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
        assert 2_000 < len(picture.content) <= 60_000
        click = api.get(first["click_url"])
        assert (click.status_code, click.headers["location"]) == (302, item["url"])
        page = api.get("/v1/open-links/weekly", params={**said, "format": "html"}, headers=demo.headers).text
        assert page.count("<img ") == len(slots) >= 12
    assert (folder / "link_key").stat().st_mode & 0o077 == 0


def test_what_happened_is_kept_in_the_lake(demo: Demo, folder: Path) -> None:
    give_up_at = time.monotonic() + 60
    while not all(list((folder / "lake" / name).rglob("*.parquet")) for name in ("events", "features/entity=user")):
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


def test_the_law_of_the_stream_can_be_read_from_the_metrics(demo: Demo) -> None:
    text = httpx.get(f"{demo.url}/metrics").text
    for flow in ("people", "items"):
        received = re.search(rf'^inlay_account_received_total{{flow="{flow}"}} (\S+)$', text, re.MULTILINE)
        outcomes = re.findall(rf'^inlay_account_events_total{{flow="{flow}",outcome="\w+"}} (\S+)$', text, re.MULTILINE)
        assert received is not None
        assert float(received[1]) == sum(map(float, outcomes)) > 10_000


def test_a_second_demo_on_the_same_state_is_refused_in_words(demo: Demo) -> None:
    other = demo.environ | {"INLAY_PORT": str(free_port())}
    second = subprocess.run(
        [sys.executable, "-m", "api.demo"], cwd=ROOT, env=other, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 1
    assert "a demo runs already" in second.stderr
    third = subprocess.run(
        [sys.executable, "-m", "api.demo"], cwd=ROOT, env=demo.environ | {"INLAY_VAR": f"{demo.log.parent}/other"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert third.returncode == 1
    assert f"port {demo.port} is taken" in third.stderr


def test_a_second_start_keeps_what_was_stored_and_needs_no_redis_on_the_path(demo: Demo, tmp_path: Path) -> None:
    """With the Redis that a package brings, on a path where there is nothing else."""
    bare = tmp_path / "bin"
    bare.mkdir()
    with Demo(tmp_path, path=str(bare)) as first:
        event = {"event_id": "e", "type": "view", "occurred_at": time.time(), "user_id": "kept", "item_id": "p001"}
        assert httpx.post(f"{first.url}/v1/events", json=event, headers=first.headers).json()["accepted"] == 1
        _until_known(first, "kept")
    with Demo(tmp_path, path=str(bare)) as second:
        assert second.key == first.key
        assert second.said().count("loading the sample shop") == 0
        _until_known(second, "kept")


def _until_known(demo: Demo, user: str) -> None:
    give_up_at = time.monotonic() + 30
    while not httpx.get(f"{demo.url}/v1/users/{user}", headers=demo.headers).json()["known"]:
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
