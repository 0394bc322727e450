"""Proofs one by one: the platforms' own examples, and what only one of them does."""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.platforms import Delivery, World, find_platform
from api.platforms.ses import is_of_sns
from dataflows.events import DAY, SECOND
from tests.unit.api.senders import (
    CERTIFICATE_URL,
    NOW,
    SECRETS,
    TOPIC,
    Posted,
    b64,
    seal_basic,
    seal_bearer,
    seal_query,
    seal_ses,
    seal_standard,
)  # fmt: skip
from tests.unit.api.test_collect import is_problem
from tests.unit.api.test_webhooks import CASES, Door


async def no_page(url: str) -> bytes:
    raise OSError(url)


def is_genuine(platform: str, secret: str, posted: Posted, now: int) -> bool:
    headers = {name.lower(): value for name, value in posted.headers.items()}
    delivery = Delivery(headers, posted.body, url=f"api/v1/webhooks/{platform}")
    return asyncio.run(find_platform(platform).prove(delivery, [secret], World(now * SECOND, no_page)))


class TestSendGrid:
    """The example of SendGrid's own library for Python."""

    KEY = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eN"
        "Ec6wEA3F+g=="
    )
    BODY = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
        b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
        b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
        b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    SIGNED = Posted(
        BODY,
        {
            "X-Twilio-Email-Event-Webhook-Signature": (
                "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
            ),
            "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
        },
    )

    def test_it_is_genuine(self) -> None:
        assert is_genuine("sendgrid", self.KEY, self.SIGNED, 1600112503)

    def test_its_last_bytes_count(self) -> None:
        assert not is_genuine("sendgrid", self.KEY, self.SIGNED._replace(body=self.BODY.strip()), 1600112503)

    @pytest.mark.parametrize("key", ["", "nonsense", "AAAA", b64(b"x" * 91)])
    def test_a_key_that_is_none_makes_nothing_genuine(self, key: str) -> None:
        assert not is_genuine("sendgrid", key, self.SIGNED, 1600112503)


class TestStandardWebhooks:
    """The example of the standard."""

    KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    RIGHT = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    AT = 1614265330

    def signed(self, signature: str) -> Posted:
        head = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": str(self.AT)}
        return Posted(b'{"test": 2432232314}', head | {"webhook-signature": signature})

    def test_it_is_genuine(self) -> None:
        assert is_genuine("standard", self.KEY, self.signed(self.RIGHT), self.AT)
        assert is_genuine("standard", self.KEY.removeprefix("whsec_"), self.signed(self.RIGHT), self.AT)

    def test_one_right_signature_among_several_is_enough(self) -> None:
        several = f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,x v1a,y {self.RIGHT} v1,z"
        assert is_genuine("standard", self.KEY, self.signed(several), self.AT)

    @pytest.mark.parametrize(
        "signature", ["", RIGHT.removeprefix("v1,"), RIGHT.replace("v1,", "v1a,"), RIGHT.replace("v1,", "v0,"), "v1,"]
    )
    def test_in_another_form_it_is_not(self, signature: str) -> None:
        assert not is_genuine("standard", self.KEY, self.signed(signature), self.AT)

    @pytest.mark.parametrize(("seconds", "good"), [(300, True), (301, False), (-300, True), (-301, False)])
    def test_it_is_good_for_five_minutes(self, seconds: int, good: bool) -> None:
        assert is_genuine("standard", self.KEY, self.signed(self.RIGHT), self.AT + seconds) is good

    @pytest.mark.parametrize("stamp", ["", "1614265330.0", "+1614265330", "١٦١٤٢٦٥٣٣٠", "9" * 400, "nan"])
    def test_a_time_in_another_form_is_none(self, stamp: str) -> None:
        posted = self.signed(self.RIGHT)
        changed = posted._replace(headers={**posted.headers, "webhook-timestamp": stamp})
        assert not is_genuine("standard", self.KEY, changed, self.AT)

    def test_a_public_key_takes_signatures_of_its_own_kind_only(self) -> None:
        private = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
        raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        content = f"msg_p5jXN8AQM9LWM0D4loKWxJek.{self.AT}.".encode() + b'{"test": 2432232314}'
        signature = f"v1a,{b64(private.sign(content))}"
        assert is_genuine("standard", f"whpk_{b64(raw)}", self.signed(signature), self.AT)
        assert not is_genuine("standard", f"whpk_{b64(raw)}", self.signed(signature + "AA"), self.AT)
        # What everybody may know is no secret to sign with.
        forged = Posted(b'{"test": 2432232314}')
        sealed = seal_standard("x", forged.body, b64(raw))
        assert not is_genuine("standard", f"whpk_{b64(raw)}", sealed, NOW)

    def test_an_event_with_an_id_of_its_own_keeps_it(self) -> None:
        door, secret = Door(), SECRETS["standard"][0]
        body = msgspec.json.encode([{"type": "view"}, {"type": "view", "event_id": "mine"}])
        told = find_platform("standard").read(Delivery({"webhook-id": "m"}, body))
        assert [event["event_id"] for event in told] == ["standard:m:0", "mine"]
        assert door.post("standard", seal_standard("x", b"[]", secret)).json() == {"accepted": 0, "refused": 0}


class TestSns:
    """Amazon's envelope: what is fetched, from where, and when not at all."""

    OPEN = next(case for case in CASES if (case.platform, case.name) == ("ses", "open"))
    CONFIRMATION = next(case for case in CASES if (case.platform, case.name) == ("ses", "confirmation"))

    def post(self, door: Door, case: Any, url: str = CERTIFICATE_URL, **changes: Any) -> httpx.Response:
        body = msgspec.json.encode(msgspec.json.decode(case.body) | changes)
        return door.post("ses", seal_ses(case.name, body, TOPIC, url))

    def fresh(self) -> tuple[Door, str]:
        """A door, and a certificate's URL that nobody fetched before."""
        door, url = Door(), CERTIFICATE_URL.replace("0123", f"{next(NUMBERS):04d}")
        door.pages[url] = door.pages[CERTIFICATE_URL]
        return door, url

    def test_a_subscription_is_confirmed(self) -> None:
        door, url = self.fresh()
        assert self.post(door, self.CONFIRMATION, url).status_code == 200
        assert door.fetched == [url, msgspec.json.decode(self.CONFIRMATION.body)["SubscribeURL"]]
        assert (door.events, door.box.letters) == ([], [])

    @pytest.mark.parametrize(
        "elsewhere",
        [
            "https://evil.example/?Action=ConfirmSubscription",
            "http://sns.eu-west-1.amazonaws.com/",
            "",
            "//",
            "https://[",
        ],
    )
    def test_none_is_confirmed_elsewhere(self, elsewhere: str) -> None:
        door, url = self.fresh()
        assert self.post(door, self.CONFIRMATION, url, SubscribeURL=elsewhere).status_code == 200
        assert door.fetched == [url]

    def test_a_subscription_that_cannot_be_confirmed_now_is_to_be_sent_again(self) -> None:
        door, url = self.fresh()
        door.pages[msgspec.json.decode(self.CONFIRMATION.body)["SubscribeURL"]] = OSError("timed out")
        assert self.post(door, self.CONFIRMATION, url).headers["retry-after"] == "30"

    def test_a_certificate_is_fetched_once(self) -> None:
        door, url = self.fresh()
        for _ in range(3):
            assert self.post(door, self.OPEN, url).status_code == 200
        assert door.fetched == [url]

    def test_a_certificate_that_cannot_be_had_now_makes_it_come_again(self) -> None:
        door, url = self.fresh()
        page, door.pages[url] = door.pages[url], OSError("timed out")
        is_problem(self.post(door, self.OPEN, url), 503)
        door.pages[url] = page
        assert self.post(door, self.OPEN, url).status_code == 200

    @pytest.mark.parametrize(
        "page", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    )
    def test_a_page_that_is_no_certificate(self, page: bytes) -> None:
        door, url = self.fresh()
        door.pages[url] = page
        is_problem(self.post(door, self.OPEN, url), 401)

    @pytest.mark.parametrize("days", [-3, 3])
    def test_a_certificate_of_another_time(self, days: int) -> None:
        door, url = self.fresh()
        door.now += days * DAY
        is_problem(self.post(door, self.OPEN, url), 401)

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/SimpleNotificationService-0123abcd.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0123abcd.pem",
            "https://evil.amazonaws.com/SimpleNotificationService-0123abcd.pem",
            "https://bucket.s3.amazonaws.com/SimpleNotificationService-0123abcd.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0123abcd.pem",
            "https://evil@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-0123abcd.pem",
            "https://sns.eu-west-1.amazonaws.com/other.pem",
            "https://sns.eu-west-1.amazonaws.com/x/../SimpleNotificationService-0123abcd.pem",
            "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
            "file:///etc/passwd", "https://[::1", "", "https://169.254.169.254/latest/meta-data",
        ],
    )  # fmt: skip
    def test_nothing_is_fetched_from_elsewhere(self, url: str) -> None:
        door = Door()
        is_problem(self.post(door, self.OPEN, url), 401)
        assert door.fetched == []

    def test_nothing_is_fetched_for_the_topic_of_somebody_else(self) -> None:
        door = Door()
        body = msgspec.json.encode(msgspec.json.decode(self.OPEN.body))
        is_problem(door.post("ses", seal_ses("open", body, f"{TOPIC}x", self.fresh()[1])), 401)
        assert door.fetched == []

    @pytest.mark.parametrize("host", ["sns.us-gov-west-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn"])
    def test_hosts_of_all_regions_are_its_own(self, host: str) -> None:
        assert is_of_sns(f"https://{host}/")


NUMBERS = itertools.count()


@pytest.mark.parametrize("name", ["braze", "iterable", "mailchimp", "postmark"])
@pytest.mark.parametrize("seal", [seal_bearer, seal_basic, seal_query])
def test_where_nothing_is_signed_the_secret_itself_is_the_proof_wherever_it_stands(name: str, seal: Any) -> None:
    door, case = Door(), next(case for case in CASES if case.platform == name)
    right, wrong = SECRETS[name][0], SECRETS[name][2]
    assert door.post(name, seal(case.name, case.body, right)).status_code == 200
    is_problem(door.post(name, seal(case.name, case.body, wrong)), 401)
    is_problem(door.post(name, seal(case.name, case.body, "")), 401)


def test_the_secret_may_be_the_last_part_of_the_path() -> None:
    """As Mailchimp's manual says; and what tries the URL first tries this one."""
    door, case = Door(), next(case for case in CASES if case.platform == "mailchimp")
    right, wrong = SECRETS["mailchimp"][0], SECRETS["mailchimp"][2]
    assert door.call("GET", f"/v1/webhooks/mailchimp/{right}", Posted(b"")).status_code == 200
    assert door.post(f"mailchimp/{right}", Posted(case.body)).status_code == 200
    assert door.events == case.expected
    is_problem(door.post(f"mailchimp/{wrong}", Posted(case.body)), 401)
    is_problem(door.post(f"mailchimp/{wrong}", Posted(case.body, query="?secret=")), 401)
    signed = next(case for case in CASES if case.platform == "shopify")
    is_problem(door.post(f"shopify/{SECRETS['shopify'][0]}", Posted(signed.body)), 401)


@pytest.mark.parametrize(
    "said", ["Basic", "Basic %%%", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Bearer", "x"]
)
def test_credentials_in_no_form_are_no_proof(said: str) -> None:
    is_problem(Door().post("postmark", Posted(b"{}", {"Authorization": said})), 401)
