"""Mailchimp's audience webhook: a form, unsigned; the proof is in the URL. It tells of no opens and no clicks."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from api.platforms import Delivery, Platform, Told, Unread, Unreadable
from api.signatures import knows_secret
from api.translate import Mail, event_id, fingerprint, moment, read_mails, user_of_email

TYPES: Final = {
    "subscribe": "consent+",
    "unsubscribe": "email_unsubscribe",
    "cleaned": "email_bounce",
    "profile": "profile",
    "upemail": "identify",
}
TABLE: Final = Mail(
    kind="type",
    types={name: TYPES[name] for name in ("subscribe", "unsubscribe", "cleaned")},
    event_id="",
    at="fired_at",
    email="data[email]",
    fields={"campaign_id": "data[campaign_id]"},
    properties={"reason": "data[reason]"},
    hard=("type", ("cleaned",)),
)
TRAITS: Final = {"first_name": "data[merges][FNAME]", "country": "data[merges][COUNTRY]"}
"""Of what a person said of themselves, what a feature is made from; merge fields are not sorted further."""


def read(delivery: Delivery) -> list[Told | Unread]:
    """The event: a consent, a profile, or that an address gave way to another."""
    try:
        pairs = parse_qs(delivery.body.decode(), strict_parsing=True, max_num_fields=500)
    except ValueError:
        raise Unreadable("the body is not a form in UTF-8") from None
    form = {name: values[-1] for name, values in pairs.items()}
    if "type" not in form:
        raise Unreadable("the form does not say its type")
    kind, name = form["type"], event_id("mailchimp", fingerprint(form))
    if kind == "upemail":
        now, before = user_of_email(form.get("data[new_email]")), user_of_email(form.get("data[old_email]"))
        return [
            {
                "event_id": name, "type": "identify", "occurred_at": moment(form.get("fired_at")),
                "user_id": now, "previous_id": before,
            }
        ]  # fmt: skip
    told = read_mails("mailchimp", [form], TABLE)
    traits = {ours: form[theirs] for ours, theirs in TRAITS.items() if form.get(theirs)}
    if kind in ("subscribe", "profile") and traits:
        user = user_of_email(form.get("data[email]"))
        told.append(
            {
                "event_id": f"{name}:profile", "type": "profile", "occurred_at": moment(form.get("fired_at")),
                "user_id": user, "traits": traits,
            }
        )  # fmt: skip
    return told


PLATFORM: Final = Platform(
    knows_secret, read, TYPES,
    proof="the secret in the URL, as the last part of its path or as `?secret=`",
    asks_for="a word of your own, also in the URL: `…/v1/webhooks/mailchimp/<secret>`",
    covers_body=False,
)  # fmt: skip
