"""The container files, without an engine: their commands and settings are read out of them and run as processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from api.demo.embedded import find_redis_server, free_port
from dataflows.settings import read_settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker/compose.yml").read_text())
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
BIN = Path(sys.executable).parent
SERVICES = COMPOSE["services"]
INLAY = ("features", "people", "items", "lake", "api", "report")


def _stage(name: str) -> str:
    return re.split(rf"^FROM .* AS {name}$", DOCKERFILE, flags=re.MULTILINE)[1].split("\nFROM ")[0]


def test_a_linter_finds_nothing_in_the_dockerfile() -> None:
    subprocess.run([BIN / "hadolint", ROOT / "docker/Dockerfile"], check=True)


def test_a_linter_finds_nothing_in_the_compose_file() -> None:
    rules = (
        "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 1}}}"
    )
    subprocess.run([BIN / "yamllint", "--strict", "-d", rules, ROOT / "docker/compose.yml"], check=True)


def test_every_service_builds_a_target_that_exists_and_nothing_runs_as_root() -> None:
    for name in INLAY:
        build = SERVICES[name]["build"]
        assert (ROOT / "docker" / build["context"] / build["dockerfile"]).exists()
        assert f"AS {build['target']}\n" in DOCKERFILE
    assert re.search(r"^USER (?!0$|root$)\S+$", _stage("installed"), re.MULTILINE)
    assert "USER" not in _stage("dataflow") + _stage("api")


def test_volumes_lie_where_their_settings_look_and_belong_to_who_writes() -> None:
    """A new volume is owned as the folder of the image that it covers."""
    (made,) = re.findall(r"mkdir -p (.*?) && chown -R inlay var", _stage("installed"))
    for name in INLAY:
        volumes = dict(each.split(":") for each in SERVICES[name].get("volumes", ()))
        assert {folder.removeprefix("/app/") for folder in volumes.values()} <= set(made.split())
        writes_or_serves = {"lake"} if name == "lake" else {"lake", "quality"} if name in ("report", "api") else set()
        assert volumes.keys() == writes_or_serves
        if "lake" in volumes:
            assert volumes["lake"] == SERVICES[name]["environment"]["INLAY_LAKE_URL"]
        if "quality" in volumes:
            assert volumes["quality"] == f"/app/{read_settings({})['report']}"


def test_what_the_image_copies_is_let_through_and_exists() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()}
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_health_check_asks_a_route_that_exists() -> None:
    from api.app import create
    from api.settings import api_settings

    path = re.search(r"http://127\.0\.0\.1:8000(/[a-z/]+)", _stage("api"))
    assert path is not None
    assert path[1] in create(api_settings({"INLAY_API_KEYS": "k"})).openapi()["paths"]


@contextmanager
def _running(
    name: str, command: list[str], environ: dict[str, str], log: Path, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    found = shutil.which(command[0], path=f"{BIN}:{os.environ['PATH']}")
    assert found is not None, command[0]
    with (log / f"{name}.log").open("wb") as out:
        process = subprocess.Popen(
            [found, *command[1:]], cwd=cwd, env=environ, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


@pytest.mark.integration
def test_the_services_work_together_as_plain_processes(tmp_path: Path) -> None:
    port, api_port = free_port(), free_port()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INLAY_")}
    redis_command = [find_redis_server(), *SERVICES["redis"]["command"][1:]]
    redis_command += ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]

    app = tmp_path / "app"  # where a container is: its volumes lie in here, and nothing else may be written
    (app / "var/quality").mkdir(parents=True)

    def environ(service: str) -> dict[str, str]:
        told = dict(SERVICES[service]["environment"])
        told["INLAY_REDIS_URL"] = told["INLAY_REDIS_URL"].replace("redis:6379", f"127.0.0.1:{port}")
        told["INLAY_LAKE_URL"] = told["INLAY_LAKE_URL"].replace("/app", str(app))
        if "INLAY_API_KEYS" in told:
            assert told["INLAY_API_KEYS"].startswith("${INLAY_API_KEYS:?"), "a key must be given, never shipped"
            told |= {"INLAY_API_KEYS": "k", "INLAY_PORT": str(api_port)}
        return plain | told

    with _running("redis", redis_command, plain, tmp_path):
        features = SERVICES["features"]["command"]
        applied = subprocess.run([BIN / features[0], *features[1:]], cwd=ROOT, env=environ("features"), check=False)
        assert applied.returncode == 0
        with (
            _running("people", SERVICES["people"]["command"], environ("people"), tmp_path) as people,
            _running("items", SERVICES["items"]["command"], environ("items"), tmp_path) as items,
            _running("lake", SERVICES["lake"]["command"], environ("lake"), tmp_path) as lake,
            _running("api", SERVICES["api"]["command"], environ("api"), tmp_path, app) as api,
        ):
            _see_a_cart_in_a_block(f"http://127.0.0.1:{api_port}", [people, items, lake, api])
            _see_a_file_in_the_lake(app / "var/lake/events")
            homeless = environ("report") | {"HOME": "/home/of-nobody", "PATH": f"{BIN}:{os.environ['PATH']}"}
            with _running("report", SERVICES["report"]["command"], homeless, tmp_path, app) as report:
                _see_the_report(f"http://127.0.0.1:{api_port}", report)
        assert [people.returncode, items.returncode, lake.returncode] == [0, 0, 0]


def _see_the_report(url: str, process: subprocess.Popen[bytes]) -> None:
    """What one service writes into its volume, the other one serves; the first goes on, to write it anew in an hour."""
    give_up_at = time.monotonic() + 120
    while (page := httpx.get(f"{url}/quality/", headers={"X-Api-Key": "k"})).status_code != 200:
        assert process.poll() is None
        assert time.monotonic() < give_up_at, page.text
        time.sleep(0.2)
    assert "text/html" in page.headers["Content-Type"]
    assert process.poll() is None


def _see_a_file_in_the_lake(events: Path) -> None:
    give_up_at = time.monotonic() + 60
    while not list(events.rglob("*.parquet")):
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


def _see_a_cart_in_a_block(url: str, processes: list[subprocess.Popen[bytes]]) -> None:
    item = {
        "event_id": "i", "type": "item", "occurred_at": time.time(), "item_id": "mug", "title": "Mug", "price": 9.0,
        "url": "https://shop.example/mug", "image_url": "https://shop.example/mug.png", "currency": "EUR",
    }  # fmt: skip
    cart = {"event_id": "c", "type": "add_to_cart", "occurred_at": time.time(), "user_id": "u", "item_id": "mug"}
    give_up_at = time.monotonic() + 90
    posted = False
    with httpx.Client(base_url=url, headers={"X-Api-Key": "k"}) as client:
        while time.monotonic() < give_up_at:
            assert not any(process.poll() for process in processes)
            try:
                posted = posted or client.post("/v1/events", json=[item, cart]).json() == {"accepted": 2, "refused": []}
                block = client.get("/v1/blocks/abandoned_cart", params={"user_id": "u"}).json()["blocks"][0]
                if [each["item_id"] for each in block["items"]] == ["mug"] and block["source"] == "personal":
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
    raise AssertionError("the cart was in no block after 90 s")
