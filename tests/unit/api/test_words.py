"""The product's own words: in every language every phrase, with a place for what completes it where English has one."""

from __future__ import annotations

import pytest

from api.words import BUTTONS, PHRASES, day_and_month, is_known, locale_of, of_language, phrases_of, said

MAY_3 = 1_777_766_400


@pytest.mark.parametrize("language", BUTTONS)
def test_a_language_has_every_phrase_with_its_places(language: str) -> None:
    assert PHRASES[language].keys() == PHRASES["en"].keys()
    for name, phrase in PHRASES[language].items():
        assert phrase.strip() == phrase != ""
        assert phrase.count("{}") == PHRASES["en"][name].count("{}"), name
        assert "{" not in phrase.replace("{}", "")
    assert all(BUTTONS[language])


@pytest.mark.parametrize(
    ("tag", "written"),
    [("en", "May 3"), ("en-GB", "3 May"), ("de", "3. Mai"), ("fr", "3 mai"), ("nb", "3. mai"), ("nonsense", "May 3")],
)
def test_a_day_is_written_as_people_write_it(tag: str, written: str) -> None:
    assert day_and_month(MAY_3, tag) == written
    assert day_and_month(MAY_3 + 86_399, tag) == written


@pytest.mark.parametrize(
    ("tag", "view", "written"),
    [
        ("no", "Se", "3. mai"), ("no-NO", "Se", "3. mai"), ("nn", "Se", "3. mai"), ("NN_no", "Se", "3. mai"),
        ("iw", "לצפייה", "3 במאי"), ("iw-IL", "לצפייה", "3 במאי"),
    ],
)  # fmt: skip
def test_a_language_is_known_by_its_other_names(tag: str, view: str, written: str) -> None:
    """Phones and shops write Norwegian and Hebrew in several ways."""
    assert is_known(tag)
    assert of_language(BUTTONS, tag).view == view
    assert day_and_month(MAY_3, tag) == written


def test_a_text_for_the_very_tag_comes_before_that_of_another_name() -> None:
    assert of_language({"en": "en", "nb": "nb", "nn": "nn"}, "nn-NO") == "nn"
    assert of_language({"en": "en", "no": "no"}, "nb") == "no"
    assert of_language({"en": "en", "no": "no"}, "nb-NO") == "no"


@pytest.mark.parametrize("tag", ["", "x", "<script>", "english", "\x00", "../en", "x" * 500])
def test_a_tag_that_is_none_is_english(tag: str) -> None:
    assert not is_known(tag)
    assert locale_of(tag).language == "en"
    assert phrases_of(tag) == PHRASES["en"]


@pytest.mark.parametrize(
    ("tag", "found"),
    [("pt-BR", "br"), ("pt_br", "br"), ("pt", "pt"), ("pt-PT", "pt"), ("fr", "en"), ("EN-us", "en"), ("", "en")],
)
def test_a_text_is_that_of_the_tag_then_of_its_language_then_english(tag: str, found: str) -> None:
    assert of_language({"de": "de", "pt": "pt", "pt-BR": "br", "en": "en"}, tag) == found


def test_without_english_it_is_the_first_and_a_text_for_all_is_for_all() -> None:
    assert said({"de": "eins", "fr": "un"}, "pl") == "eins"
    assert said("all", "pl") == "all"
