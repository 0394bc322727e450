"""What the documentation names exists, and what exists is documented."""

import re
from pathlib import Path

import pytest
import yaml

from api.features import USER_NAMES
from dataflows.events import EVENT_TYPES, OUTCOMES
from dataflows.settings import SETTINGS
from feature_repo.layout import LAYOUTS
from tests.given import routes_of

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
RUNNING = (ROOT / "docs/running.md").read_text()
FEATURES = (ROOT / "docs/features.md").read_text()
COLLECT = (ROOT / "docs/collect.md").read_text()


def _expanded(name: str) -> str:
    return re.sub(r"_(1h|24h|7d|30d)$", "_W", name) if not name.startswith("spend") else name


def test_every_setting_is_documented_with_its_default() -> None:
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else ""
        assert f"| `{setting.name}` | {default} | {setting.meaning} |" in RUNNING


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {setting.name for setting in SETTINGS}
    assert set(re.findall(r"INLAY_[A-Z_]*[A-Z]", README + RUNNING + FEATURES + COLLECT)) <= known


def test_every_feature_is_documented() -> None:
    for layout in LAYOUTS.values():
        for name in layout.columns:
            if name != "state":
                assert re.search(rf"\b{re.escape(_expanded(name))}\b", FEATURES), name


def test_the_features_that_blocks_use_exist() -> None:
    assert set(USER_NAMES) <= set(LAYOUTS["user"].columns)


def test_a_feature_that_blocks_use_and_nobody_declared_stops_the_start_in_words() -> None:
    with pytest.raises(
        ValueError, match="no view of user has a feature basket, which is read; declare it in feature_r"
    ):
        LAYOUTS["user"].fields(["cart_items", "basket"])


def test_every_outcome_is_in_the_law() -> None:
    law = README[README.index("**The law of the stream.**") :][:300]
    assert all(f"*{outcome}*" in law for outcome in OUTCOMES)


def test_every_metric_is_documented_and_no_other() -> None:
    sources = "".join(
        (ROOT / path).read_text()
        for path in ("dataflows/metrics.py", "api/metrics.py", "api/health.py", "api/quality.py")
    )
    declared = set(re.findall(r'"(inlay_[a-z_]+)"', sources))
    assert set(re.findall(r"`(inlay_[a-z_]+)`", RUNNING)) == declared


def test_every_route_is_documented_and_no_other() -> None:
    from api.app import create
    from api.settings import api_settings

    app = create(api_settings({"INLAY_API_KEYS": "k"}))
    served = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    told = set(re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", RUNNING)) - {
        ("GET", "/demo"),
        ("GET", "/docs"),
        ("GET", "/quality/"),
    }
    assert told == served


def test_every_route_has_a_scope_or_a_reason_to_have_none() -> None:
    from api.app import create
    from api.openapi import OPEN
    from api.settings import api_settings

    app = create(api_settings({"INLAY_API_KEYS": "k"}))
    scopes = app.state.routes.scopes
    assert not {path for _, path in scopes} & OPEN.keys()
    served = set(routes_of(app))
    assert len(served) > len(app.openapi()["paths"]) + 10, "also those that the document leaves out"
    for method, path in served:
        guarded = (method, path) in scopes
        assert guarded or path in OPEN, f"{path}: add it with api.openapi.Routes.add, or to OPEN with a reason"
    assert OPEN.keys() <= {path for _, path in served}


def test_the_document_says_how_each_route_answers_what_it_cannot_do() -> None:
    from api.app import create
    from api.settings import api_settings

    content = create(api_settings({"INLAY_API_KEYS": "k"})).openapi()
    for path, operations in content["paths"].items():
        for operation in operations.values():
            kind = "text/html" if path.startswith("/v1/click/") else "application/problem+json"
            assert operation["responses"]["default"]["content"].keys() == {kind}
            assert "422" not in operation["responses"]
    assert content["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status", "detail"]
    assert "HTTPValidationError" not in str(content)


@pytest.mark.parametrize("text", [README, RUNNING], ids=["README", "running"])
def test_every_command_named_exists(text: str) -> None:
    for module in re.findall(r"python -m ((?:dataflows|api|expectations)[a-z_.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for target in re.findall(r"`make ([a-z]+)`", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_every_link_leads_somewhere() -> None:
    for text, folder in ((README, ROOT), (RUNNING, ROOT / "docs"), (FEATURES, ROOT / "docs"), (COLLECT, ROOT / "docs")):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert (folder / target).exists(), target


def test_the_map_of_the_house_names_what_is_there() -> None:
    for folder in re.findall(r"^\| `([a-z_]+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir()


def test_event_types_in_the_features_page_exist() -> None:
    named = set(re.findall(r"`(view|click|add_to_cart|remove_from_cart|purchase|email_[a-z]+)`", FEATURES))
    assert named - {"email_allowed"} <= set(EVENT_TYPES)


def test_the_names_that_segment_gives_are_documented_with_their_types() -> None:
    table = yaml.safe_load((ROOT / "api/segment_events.yaml").read_text())
    told = {
        name: kind
        for names, kind in re.findall(r"^\| (`[A-Z][^|]*`) \| `([a-z_]+)` \|$", COLLECT, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert told == table["events"]


def test_every_attribute_and_call_of_the_script_is_documented() -> None:
    script = (ROOT / "api/track.js").read_text()
    fields = re.search(r"FIELDS = \[(.*)\]", script)
    clicks = re.search(r"CLICKS = \{(.*)\}", script)
    calls = re.search(r"const calls = \{(.*?)\n  \};", script, re.DOTALL)
    names = re.findall(r"'(\w+)'", fields[1]) + re.findall(r"(\w+):", clicks[1]) + ["view", "form"]
    assert all(f"`data-inlay-{name}" in COLLECT for name in names)
    assert all(f"inlay('{name}'" in COLLECT for name in re.findall(r"^    (\w+)[(:]", calls[1], re.MULTILINE))
