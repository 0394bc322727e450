"""The quality report over HTTP: who may see it, what is served, and that nothing else is."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from api import problems
from api.access import Access, Caller, Keys, digest_of
from api.quality import ReportMetrics, find, routes

CALLERS = {
    digest_of(b"reader"): Caller("reader", frozenset({"read"})),
    digest_of(b"writer"): Caller("writer", frozenset({"collect"})),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality")
    for name in ("site/index.html", "site/on-call.txt", "site/status.json", "site/docs/user.html", "alarms.json",
                 "site/.hidden.html", "site/run.js", "site/docs/.git/config.html", "secret.html"):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}")
    (folder / "site/out.html").symlink_to(folder / "secret.html")
    (folder / "site/inside.html").symlink_to(folder / "site/index.html")
    return folder


class Client:
    """A caller of the report's routes."""

    def __init__(self, folder: Path, keys: Keys | None = None) -> None:
        self._app = FastAPI()
        problems.install(self._app)
        self._app.include_router(routes(folder, keys))

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://api") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(call())


def client(folder: Path) -> Client:
    return Client(folder)


def keyed(folder: Path) -> Client:
    return Client(folder, Keys(Access(CALLERS), "read"))


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def test_a_browser_is_asked_for_a_name_and_a_key(folder: Path) -> None:
    answer = keyed(folder).get("/quality/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="Inlay quality')
    assert "this is" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [basic("anna", "reader"), basic("reader", ""), {"X-Api-Key": "reader"}, {"Authorization": "Bearer reader"}],
    ids=["password", "name", "header", "bearer"],
)
def test_a_key_with_the_scope_opens_it(folder: Path, headers: dict[str, str]) -> None:
    answer = keyed(folder).get("/quality/", headers=headers)
    assert (answer.status_code, answer.text) == (200, "this is site/index.html")


@pytest.mark.parametrize("headers", [basic("anna", "wrong"), {"X-Api-Key": "wrong"}])
def test_a_wrong_key_is_asked_for_again(folder: Path, headers: dict[str, str]) -> None:
    answer = keyed(folder).get("/quality/docs/user.html", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")


def test_a_key_for_something_else_is_refused_and_not_asked_for_again(folder: Path) -> None:
    answer = keyed(folder).get("/quality/", headers=basic("anna", "writer"))
    assert answer.status_code == 403
    assert "Basic" not in answer.headers.get("WWW-Authenticate", "")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html; charset=utf-8"), ("docs/user.html", "text/html; charset=utf-8"),
        ("on-call.txt", "text/plain; charset=utf-8"), ("status.json", "application/json"),
        ("inside.html", "text/html; charset=utf-8"),
    ],
)  # fmt: skip
def test_what_lies_in_the_site_is_served_as_what_it_is_and_may_run_nothing(folder: Path, path: str, kind: str) -> None:
    answer = client(folder).get(f"/quality/{path}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "../alarms.json", "..%2falarms.json", "%2e%2e/alarms.json", "docs/../../secret.html", ".hidden.html", "run.js",
        "docs/.git/config.html", "out.html", "docs", "docs/", "//etc/passwd", "%2fetc%2fpasswd", "index.html%00.html",
        "..\\secret.html", "nothing.html", "a" * 5000 + ".html",
    ],
)  # fmt: skip
def test_nothing_else_is(folder: Path, path: str) -> None:
    answer = client(folder).get(f"/quality/{path}")
    assert answer.status_code == 404
    assert "this is" not in answer.text


@given(st.lists(st.sampled_from(["..", ".", "", "docs", "site", "user.html", "alarms.json", "secret.html", "~", "\0"])))
def test_no_path_leads_out(folder: Path, parts: list[str]) -> None:
    found = find(folder / "site", "/".join(parts))
    assert found is None or found.read_text().startswith("this is site/")


def test_the_address_without_a_slash_leads_to_the_page(folder: Path) -> None:
    answer = client(folder).get("/quality")
    assert (answer.status_code, answer.headers["Location"]) == (308, "quality/")


def test_without_a_report_the_page_says_how_to_write_one(tmp_path: Path) -> None:
    answer = client(tmp_path).get("/quality/")
    assert answer.status_code == 404
    assert "python -m expectations.report" in answer.text


def test_the_metrics_tell_every_kind_and_nothing_where_there_is_no_report(tmp_path: Path) -> None:
    metrics = ReportMetrics(tmp_path)
    assert metrics.collect() == []
    (tmp_path / "site").mkdir()
    status = {"written_at": 17, "alarms": [{"kind": "drop"}, {"kind": "drop"}], "broken": {"user": ["x"]}}
    (tmp_path / "site/status.json").write_text(json.dumps(status))
    written, alarms = metrics.collect()
    assert written.samples[0].value == 17
    counts = {sample.labels["kind"]: sample.value for sample in alarms.samples}
    assert (counts["drop"], counts["suite"], counts["silence"]) == (2, 1, 0)
    (tmp_path / "site/status.json").write_text("{")
    assert metrics.collect() == []
