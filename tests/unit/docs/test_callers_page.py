"""The snippets for e-mail tools ask for what there is: routes, parameters, layouts, and fields of the answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from api.answer import Block, Item
from api.app import create
from api.bulk import ForRecipients, ForUsers
from api.feed import entries_of, feed_json
from api.layout import load_layouts
from api.personalizations import Recipient, personalization
from api.settings import api_settings
from tests.unit.api.mails import answer, block, item

PAGE = (Path(__file__).parents[3] / "docs/callers.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## ([\w.]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PATHS: dict[str, Any] = create(api_settings({"INLAY_API_KEYS": "k"})).openapi()["paths"]
LINKS = re.findall(r"https://inlay\.example(/[^\s\"|*]*)", re.sub(r"\{\{.*?\}\}+", "X", PAGE))


@pytest.mark.parametrize("link", LINKS)
def test_every_address_is_one_of_a_route_with_its_parameters_and_of_a_layout(link: str) -> None:
    parts = urlsplit(link)
    (found,) = (
        (path, named)
        for path in PATHS
        if (named := re.fullmatch(re.sub(r"\\\{\w+\\\}", "([a-z_]+)", re.escape(path)), parts.path))
    )
    path, named = found
    assert named[1] in load_layouts()
    asked = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    operation = PATHS[path].get("get") or PATHS[path]["post"]
    assert asked <= {parameter["name"] for parameter in operation.get("parameters", ())}
    assert bool(parts.query) <= ("get" in PATHS[path])


def test_what_is_set_into_html_by_hand_is_escaped_and_no_heading_stands_over_nothing() -> None:
    """Liquid escapes nothing of itself; Handlebars and Django do."""
    placed = re.findall(r"\{\{(item\.[^}]+)\}\}", SECTIONS["Braze"])
    assert len(placed) >= 2
    assert all(each.endswith("| escape") for each in placed)
    assert "[[#each blocks]][[#if items]]<h2>" in SECTIONS["Iterable"]


def test_there_are_many_of_them() -> None:
    assert len(LINKS) >= 10
    callers = {"Braze", "Iterable", "Customer.io", "HTML", "Mailchimp", "Klaviyo", "SendGrid", "Batch"}
    assert set(SECTIONS) == callers


def test_a_feed_without_a_key_is_of_a_layout_that_is_public() -> None:
    layouts = load_layouts()
    for name in re.findall(r"https://inlay\.example/v1/feeds/(\w+)\.", PAGE):
        assert layouts[name].public
    assert all(f"`{name}`" in SECTIONS["Mailchimp"] for name, layout in layouts.items() if layout.public)


def test_the_bodies_are_bodies() -> None:
    (sendgrid,) = re.findall(r"-d '(\{.*?\})'", SECTIONS["SendGrid"], re.DOTALL)
    (batch,) = re.findall(r"-d '(\{.*?\})'", SECTIONS["Batch"], re.DOTALL)
    assert msgspec.json.decode(sendgrid, type=ForRecipients).recipients[0].user_id == "anna"
    assert msgspec.json.decode(batch, type=ForUsers).send_id == "spring-7"


def test_the_fields_that_templates_name_are_answered() -> None:
    mail = {*Item.__struct_fields__, *Block.__struct_fields__, "blocks"}
    assert set(re.findall(r"(?:item|block|mail)\.([a-z]\w*)", SECTIONS["Braze"])) <= mail
    assert set(re.findall(r"\[\[(?:#each )?(\w+)\]\]", SECTIONS["Iterable"])) <= mail
    whole = answer(block("recommended", item()))
    feed = msgspec.json.decode(feed_json(whole, entries_of(whole, {}, 0)))
    assert {*re.findall(r"item\.(\w+)", SECTIONS["Klaviyo"])} <= set(feed["items"][0])
    assert {"items", "blocks"} <= set(feed)
    recipient = msgspec.convert({"user_id": "u1", "email": "a@b.example"}, Recipient)
    data = personalization(whole, recipient, html=True)["dynamic_template_data"]
    named = set(re.findall(r"\{\{+(?:#each |#if )?(\w+)\}\}", SECTIONS["SendGrid"]))
    assert named <= {*data, *data["recommended"][0]}
