"""The words that are the product's own, in the languages it speaks: reasons, buttons, and how dates are written.

A new language is an entry here. What a layout says is in the layout.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from babel import Locale, UnknownLocaleError
from babel.dates import format_skeleton

T = TypeVar("T")
ENGLISH: Final = Locale("en")
_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "no": ("nb",), "nn": ("nb", "no"), "nb": ("no",), "iw": ("he",), "he": ("iw",),
}  # fmt: skip
"""Other names of a language, or of one that its readers read as well: shops and phones write what they please."""


class Buttons(NamedTuple):
    """On the buttons, and before an old price."""

    view: str
    read: str
    cart: str
    was: str


BUTTONS: Final[Mapping[str, Buttons]] = {
    "en": Buttons("View", "Read more", "Back to your cart", "was"),
    "ar": Buttons("عرض", "اقرأ المزيد", "العودة إلى سلتك", "كان"),
    "da": Buttons("Se", "Læs mere", "Tilbage til kurven", "før"),
    "de": Buttons("Ansehen", "Weiterlesen", "Zurück zum Warenkorb", "statt"),
    "es": Buttons("Ver", "Leer más", "Volver al carrito", "antes"),
    "fr": Buttons("Voir", "Lire la suite", "Retour au panier", "au lieu de"),
    "he": Buttons("לצפייה", "לקריאה", "חזרה לסל", "במקום"),
    "it": Buttons("Vedi", "Leggi tutto", "Torna al carrello", "invece di"),
    "nb": Buttons("Se", "Les mer", "Tilbake til handlekurven", "før"),
    "nl": Buttons("Bekijk", "Lees verder", "Terug naar je winkelwagen", "was"),
    "pl": Buttons("Zobacz", "Czytaj dalej", "Wróć do koszyka", "zamiast"),
    "pt": Buttons("Ver", "Ler mais", "Voltar ao carrinho", "antes"),
    "sv": Buttons("Visa", "Läs mer", "Tillbaka till varukorgen", "tidigare"),
}

_NAMES: Final = (
    "viewed", "in_cart", "wished", "because_viewed", "goes_with", "similar_to", "picked", "popular_in", "bestseller_in",
    "bestseller", "trending", "new", "price_dropped", "back_in_stock", "pinned", "worth_a_look",
)  # fmt: skip
_PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "you viewed it", "still in your cart", "on your wishlist", "because you viewed {}", "goes with {}",
        "similar to {}", "picked for you", "popular in {}", "bestseller in {}", "bestseller", "trending now",
        "new since {}", "cheaper since {}", "back since {}", "our choice", "worth a look",
    ),
    "ar": (
        "شاهدته من قبل", "ما زال في سلتك", "في قائمة أمنياتك", "لأنك شاهدت {}", "يتناسب مع {}",
        "مشابه لـ {}", "اخترناه لك", "رائج في {}", "الأكثر مبيعًا في {}", "الأكثر مبيعًا", "رائج الآن",
        "جديد منذ {}", "أرخص منذ {}", "متوفر من جديد منذ {}", "اختيارنا", "يستحق المشاهدة",
    ),
    "da": (
        "du har set den", "stadig i din kurv", "på din ønskeliste", "fordi du så {}", "passer til {}",
        "minder om {}", "udvalgt til dig", "populært i {}", "bestseller i {}", "bestseller", "populært lige nu",
        "nyt siden {}", "billigere siden {}", "på lager igen siden {}", "vores valg", "værd at se på",
    ),
    "de": (
        "zuletzt angesehen", "noch in Ihrem Warenkorb", "auf Ihrem Wunschzettel", "weil Sie {} angesehen haben",
        "passt zu {}", "ähnlich wie {}", "für Sie ausgesucht", "beliebt in {}", "Bestseller in {}", "Bestseller",
        "gerade beliebt", "neu seit {}", "günstiger seit {}", "wieder da seit {}", "unsere Wahl", "einen Blick wert",
    ),
    "es": (
        "lo has visto", "sigue en tu carrito", "en tu lista de deseos", "porque viste {}", "combina con {}",
        "parecido a {}", "elegido para ti", "popular en {}", "más vendido en {}", "más vendido", "tendencia",
        "nuevo desde el {}", "más barato desde el {}", "disponible desde el {}", "nuestra elección",
        "merece la pena",
    ),
    "fr": (
        "vous l’avez consulté", "toujours dans votre panier", "dans votre liste d’envies", "parce que vous avez vu {}",
        "va bien avec {}", "semblable à {}", "choisi pour vous", "populaire dans {}", "meilleure vente dans {}",
        "meilleure vente", "tendance", "nouveau depuis le {}", "moins cher depuis le {}", "de retour depuis le {}",
        "notre choix", "à découvrir",
    ),
    "he": (
        "צפית בזה", "עדיין בסל שלך", "ברשימת המשאלות שלך", "כי צפית ב{}", "מתאים ל{}",
        "דומה ל{}", "נבחר בשבילך", "פופולרי ב{}", "רב־מכר ב{}", "רב־מכר", "פופולרי עכשיו",
        "חדש מאז {}", "זול יותר מאז {}", "חזר למלאי ב{}", "הבחירה שלנו", "שווה מבט",
    ),
    "it": (
        "l’hai visto", "ancora nel carrello", "nella tua lista dei desideri", "perché hai visto {}", "sta bene con {}",
        "simile a {}", "scelto per te", "popolare in {}", "più venduto in {}", "più venduto", "di tendenza",
        "novità dal {}", "più conveniente dal {}", "di nuovo disponibile dal {}", "la nostra scelta",
        "da non perdere",
    ),
    "nb": (
        "du har sett den", "fortsatt i handlekurven", "på ønskelisten din", "fordi du så {}", "passer til {}",
        "ligner på {}", "plukket ut til deg", "populært i {}", "bestselger i {}", "bestselger", "populært nå",
        "nytt siden {}", "billigere siden {}", "på lager igjen siden {}", "vårt valg", "verdt en titt",
    ),
    "nl": (
        "door jou bekeken", "nog in je winkelwagen", "op je verlanglijst", "omdat je {} bekeek", "past bij {}",
        "lijkt op {}", "voor jou gekozen", "populair in {}", "bestseller in {}", "bestseller", "nu populair",
        "nieuw sinds {}", "goedkoper sinds {}", "weer leverbaar sinds {}", "onze keuze", "het bekijken waard",
    ),
    "pl": (
        "oglądane przez ciebie", "nadal w koszyku", "na twojej liście życzeń", "bo oglądasz: {}", "pasuje do: {}",
        "podobne do: {}", "wybrane dla ciebie", "popularne w: {}", "bestseller w: {}", "bestseller", "teraz na topie",
        "nowość od {}", "taniej od {}", "znów dostępne od {}", "nasz wybór", "warto zobaczyć",
    ),
    "pt": (
        "já viu este", "ainda no seu carrinho", "na sua lista de desejos", "porque viu {}", "combina com {}",
        "semelhante a {}", "escolhido para si", "popular em {}", "mais vendido em {}", "mais vendido", "em alta",
        "novo desde {}", "mais barato desde {}", "disponível de novo desde {}", "a nossa escolha", "vale a pena ver",
    ),
    "sv": (
        "du har tittat på den", "kvar i varukorgen", "på din önskelista", "eftersom du tittade på {}", "passar till {}",
        "liknar {}", "utvalt till dig", "populärt i {}", "storsäljare i {}", "storsäljare", "populärt just nu",
        "nytt sedan {}", "billigare sedan {}", "åter i lager sedan {}", "vårt val", "värd en titt",
    ),
}  # fmt: skip
PHRASES: Final[Mapping[str, Mapping[str, str]]] = {
    language: dict(zip(_NAMES, phrases, strict=True)) for language, phrases in _PHRASES.items()
}


@lru_cache(maxsize=1024)
def locale_of(tag: str) -> Locale:
    """The locale of a language tag; English where there is none such."""
    language, _, rest = tag.replace("-", "_").partition("_")
    for name in (language, *_ALSO.get(language.lower(), ())):
        with contextlib.suppress(ValueError, UnknownLocaleError, TypeError):
            return Locale.parse(f"{name}_{rest}" if rest else name)
    return ENGLISH


def is_country(code: str) -> bool:
    """Whether there is such a country, in two capital letters."""
    return len(code) == 2 and code.isupper() and code in ENGLISH.territories


def country_name(code: str, tag: str) -> str | None:
    """What a country is called in a language, `France` of `FR`; None where there is none such."""
    code = code.upper()
    return locale_of(tag).territories.get(code) if is_country(code) and code != "ZZ" else None


def is_known(tag: str) -> bool:
    """Whether there is such a language."""
    return locale_of(tag) is not ENGLISH or tag == "en"


def of_language(table: Mapping[str, T], tag: str) -> T:
    """The table's entry for a language tag, else for its language by any name, else for English, else its first."""
    if tag in table:
        return table[tag]
    wanted = tag.lower().replace("_", "-")
    language = wanted.partition("-")[0]
    known = {each.lower().replace("_", "-"): each for each in table}
    for name in (wanted, language, *_ALSO.get(language, ()), "en"):
        if name in known:
            return table[known[name]]
    return next(iter(table.values()))


@lru_cache(maxsize=1024)
def phrases_of(tag: str) -> Mapping[str, str]:
    """The phrases of a language."""
    return of_language(PHRASES, tag)


def said(text: str | Mapping[str, str], tag: str) -> str:
    """A text of a layout in a language."""
    return text if isinstance(text, str) else of_language(text, tag)


@lru_cache(maxsize=4096)
def day_and_month(at: int, tag: str) -> str:
    """A day as people write it, `3 May`: of a time in seconds since 1970, in UTC."""
    moment = datetime.fromtimestamp(at, timezone.utc)
    return format_skeleton("MMMd", moment, locale=locale_of(tag))
