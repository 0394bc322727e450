"""Who may call what, over every route there is: nobody wrongly let in, nobody wrongly kept out; with a real Redis."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.audit import main as audit_main
from api.issuers import Issuer, IssuerKeys
from api.keys import main as keys_main
from tests.contract.redis_server import RedisServer
from tests.contract.service import ALL, WRITE, Service, service, stored
from tests.given import routes_of

FOREIGN: Final = "https://login.example.com"
REFUSED: Final = (401, 403)


def run(server: RedisServer, story: Callable[[Service], Awaitable[None]], **settings: Any) -> None:
    async def told() -> None:
        async with service(server, **settings) as api:
            await story(api)

    asyncio.run(told())


def concrete(path: str) -> str:
    for name, value in (("{layout}", "abandoned_cart"), ("{user_id}", "u1"), ("{key_id}", "inl_0")):
        path = path.replace(name, value)
    while "{" in path:
        start, end = path.index("{"), path.index("}")
        path = path[:start] + "x" + path[end + 1 :]
    return path


def test_every_route_lets_in_whom_it_should_and_nobody_else(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each method of each route by each role, by key and by token."""
    monkeypatch.setattr("api.erasure_routes.ANSWER_WITHIN", 0.01)  # no flow is there to wait for
    monkeypatch.setattr("api.erasure.FLOW_SECONDS", 0.0)

    async def story(api: Service) -> None:
        callers: dict[str, tuple[str, set[str]]] = {
            "all": (ALL, {"collect", "read", "admin"}),
            "page": (WRITE, {"collect"}),
        }
        for some in (["collect"], ["read"], ["admin"], ["collect", "read"]):
            key, shown = await api.made(*some)
            callers[f"key {some}"] = (shown, set(some))
            callers[f"token {some}"] = (await api.token(key, shown), set(some))
        wide, shown = await api.made("collect", "read", "admin")
        callers["narrow token"] = (await api.token(wide, shown, "read"), {"read"})
        callers["nobody"] = ("", set())
        callers["stranger"] = ("inl_000000000000_" + "0" * 64, set())
        checked = 0
        scopes = api.app.state.routes.scopes
        for method, path in routes_of(api.app):
            scope = "read" if path.startswith("/quality/") else scopes.get((method, path))
            for name, (secret, scopes_of) in callers.items():
                for carried in ({"X-Api-Key": secret}, {"Authorization": f"Bearer {secret}"}):
                    if path.startswith("/v1/pixel"):
                        continue  # a picture always comes: see below
                    answer = await api.call(method, concrete(path), key="", headers=carried if secret else {})
                    let_in = answer.status_code not in REFUSED
                    if path.startswith("/v1/webhooks") or path == "/v1/oauth/token":
                        continue
                    expected = scope is None or scope in scopes_of
                    assert let_in == expected, f"{name} {method} {path}: {answer.status_code} {answer.text}"
                    if not let_in:
                        known = name not in ("nobody", "stranger")
                        assert answer.status_code == (403 if known else 401)
                        assert answer.headers["content-type"] == "application/problem+json"
                        assert secret == "" or secret not in answer.text
                    checked += 1
        print(f"{checked} calls")
        assert checked > 800

    run(server, story, INLAY_RATE_TOKENS="")


def test_a_pixel_takes_events_by_keys_that_may_collect_and_always_comes(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        _, reader = await api.made("read")
        for secret, taken in ((WRITE, 1), (ALL, 1), (reader, 0), ("", 0), ("stranger", 0)):
            before = sum(server.client.xlen(f"events:{part}") for part in range(8))
            answer = await api.call("GET", f"/v1/pixel/track?userId=u1&event=Opened&writeKey={secret}", key="")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
            assert sum(server.client.xlen(f"events:{part}") for part in range(8)) - before == taken

    run(server, story)


def test_a_key_ends_and_is_rotated_and_revoked(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        async def let_in(secret: str) -> bool:
            return (await api.call("GET", "/v1/users/u1", secret)).status_code == 200

        key, first = await api.made("read", seconds=3600)
        assert await let_in(first)
        rotated, second = await api.ring.rotate(key.key_id)
        await api.learn()
        assert await let_in(first), "two are good at once"
        assert await let_in(second)
        _, third = await api.ring.rotate(rotated.key_id)
        await api.learn()
        assert [await let_in(each) for each in (first, second, third)] == [False, True, True], "never three"
        token = await api.token(rotated, second)
        assert await let_in(token)
        await api.ring.revoke(rotated.key_id)
        await api.learn()
        assert [await let_in(each) for each in (second, token, third)] == [False, False, True]
        short, shown = await api.made("read", seconds=1)
        assert await let_in(shown)
        api.app.state.known_keys._access._clock = lambda: time.time() + 2
        assert not await let_in(shown)
        assert short.ends_at

    run(server, story)


def test_a_key_of_a_network_is_good_there_only(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        _, shown = await api.made("read", networks=["203.0.113.0/24"])
        for hops, status in (("203.0.113.9", 200), ("203.0.113.9, 6.6.6.6", 403), ("6.6.6.6", 403)):
            answer = await api.call("GET", "/v1/users/u1", shown, headers={"X-Forwarded-For": hops})
            assert answer.status_code == status, hops

    run(server, story, client=("10.0.0.5", 1), INLAY_TRUSTED_PROXIES="10.0.0.0/8")

    async def spoofed(api: Service) -> None:
        _, shown = await api.made("read", networks=["203.0.113.0/24"])
        lie = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
        assert (await api.call("GET", "/v1/users/u1", shown, headers=lie)).status_code == 403

    run(server, spoofed, client=("6.6.6.6", 1), INLAY_TRUSTED_PROXIES="10.0.0.0/8")
    run(server, spoofed, client=("127.0.0.1", 1))


def encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).decode().rstrip("=")


def test_forged_tokens_let_nobody_in(server: RedisServer) -> None:
    """alg=none, a public key as an HMAC secret, another key, wrong or missing claims, another time."""

    async def story(api: Service) -> None:
        key, shown = await api.made("read", "admin")
        good = await api.token(key, shown)
        head, body, signature = good.split(".")
        claims = jwt.decode(good, options={"verify_signature": False})
        kid = jwt.get_unverified_header(good)["kid"]
        published = (await api.client.get("/.well-known/jwks.json")).json()["keys"]
        assert [each["kid"] for each in published] == [kid]
        public = jwt.PyJWK(published[0]).key
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        mine, now = Ed25519PrivateKey.generate(), int(time.time())

        def hmac(secret: bytes) -> str:
            unsigned = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{encoded(claims)}"
            signed = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(unsigned.encode(), secret)
            return f"{unsigned}.{base64.urlsafe_b64encode(signed).decode().rstrip('=')}"

        async def signed_by_us(**changed: Any) -> str:
            content = {name: value for name, value in {**claims, **changed}.items() if value is not None}
            return await api.app.state.signing.sign(content)  # type: ignore[no-any-return]

        assert (await api.call("GET", "/v1/users/u1", await signed_by_us())).status_code == 200
        forged = [
            f"{encoded({'alg': 'none', 'kid': kid})}.{body}.",
            f"{encoded({'alg': 'None', 'kid': kid})}.{body}.{signature}",
            f"{encoded({'alg': 'none', 'kid': kid})}.{body}.{signature}",
            hmac(pem), hmac(raw), hmac(published[0]["x"].encode()), hmac(b""),
            jwt.encode(claims, mine, "EdDSA", {"kid": kid}),
            jwt.encode(claims, mine, "EdDSA", {"kid": "other"}),
            jwt.encode(claims, mine, "EdDSA"),
            jwt.encode(claims, mine, "EdDSA", {"kid": kid, "jwk": published[0], "jku": "https://evil.example/keys"}),
            f"{head}.{encoded({**claims, 'scope': 'admin collect read'})}.{signature}",
            f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}.", "a.b.c", "..", f"{head}.{body}", "e30.e30.e30",
            *[await signed_by_us(**{name: None}) for name in ("exp", "iat", "aud", "iss", "sub")],
            await signed_by_us(iss=FOREIGN), await signed_by_us(iss="https://evil.example"),
            await signed_by_us(aud="other"), await signed_by_us(aud=["other", "another"]),
            await signed_by_us(exp=now - 60), await signed_by_us(nbf=now + 600), await signed_by_us(iat=now + 600),
            await signed_by_us(sub="inl_000000000000"), await signed_by_us(sub=""), await signed_by_us(exp="never"),
            good + "." + signature, "x" * 9000 + "." + body + "." + signature,
        ]  # fmt: skip
        for token in forged:
            answer = await api.call("GET", "/v1/users/u1", key="", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, token
            assert signature not in answer.text
        mine_again = await signed_by_us(scope="admin collect read superuser")
        assert (await api.call("POST", "/v1/events", mine_again, content=b"[]")).status_code == 403, (
            "never beyond the key"
        )
        assert (await api.call("GET", "/v1/users/u1", good)).status_code == 200, "the good one still is"

    run(server, story)


class Publisher:
    """A foreign issuer: its keys, and what it publishes of them."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.fetched: list[str] = []
        self.down = False
        self.kids = ["rsa"]

    async def fetch(self, url: str) -> bytes:
        if self.down:
            raise OSError("down")
        self.fetched.append(url)
        if url.endswith("/.well-known/openid-configuration"):
            return msgspec.json.encode({"issuer": FOREIGN, "jwks_uri": f"{FOREIGN}/keys"})
        keys = {
            "rsa": jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True),
            "ec": jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True),
        }
        shared = {"kty": "oct", "k": encoded("secret"), "kid": "oct"}
        return msgspec.json.encode({"keys": [shared, *({**keys[kid], "kid": kid} for kid in self.kids)]})

    def token(self, kid: str = "rsa", **changed: Any) -> str:
        now = int(time.time())
        claims = {"iss": FOREIGN, "aud": "shop", "sub": "crm", "iat": now, "exp": now + 60, "scope": "mails.read x"}
        key, algorithm = {"rsa": (self.rsa, "RS256"), "ec": (self.ec, "ES256")}[kid]
        content = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        return jwt.encode(content, key, algorithm, {"kid": kid})  # type: ignore[arg-type]


def test_tokens_of_a_foreign_issuer_are_taken_as_it_was_agreed(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        there = Publisher()
        now = [1000.0]
        bearers = api.app.state.known_keys._access._tokens
        issuer: Issuer = bearers._foreign[FOREIGN][0]
        bearers._foreign[FOREIGN] = issuer, IssuerKeys(issuer, there.fetch, lambda: now[0])

        async def status(token: str, method: str = "GET", path: str = "/v1/users/u1") -> int:
            return (await api.call(method, path, token, content=b"[]")).status_code

        there.down = True
        assert await status(there.token()) == 503, "not a word against the token: its keys cannot be had"
        there.down = False
        now[0] += 31
        assert await status(there.token()) == 200
        assert there.fetched == [f"{FOREIGN}/.well-known/openid-configuration", f"{FOREIGN}/keys"]
        assert await status(there.token(), "POST", "/v1/events") == 403
        assert await status(there.token(scope=None, scp=["events.write"]), "POST", "/v1/events") == 202
        assert await status(there.token(scope="admin read"), "GET", "/v1/admin/keys") == 403, "theirs are mapped only"
        wrong: list[dict[str, Any]] = [
            {"aud": "inlay"}, {"aud": None}, {"sub": None}, {"iat": None}, {"exp": None}, {"exp": 1}, {"iss": "inlay"},
            {"iss": f"{FOREIGN}/"}, {"nbf": int(time.time()) + 600},
        ]  # fmt: skip
        for changed in wrong:
            assert await status(there.token(**changed)) == 401, changed
        pem = there.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        claims = jwt.decode(there.token(), options={"verify_signature": False})
        unsigned = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded(claims)}"
        mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(unsigned.encode(), pem)
        assert await status(f"{unsigned}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}") == 401
        shared = jwt.encode(claims, "secret" * 8, "HS256", {"kid": "oct"})
        assert await status(shared) == 401, "what is shared proves nothing"
        fetches = len(there.fetched)
        there.kids = ["ec"]
        for _ in range(5):
            assert await status(there.token("ec")) == 401
        assert len(there.fetched) == fetches, "whoever makes up names of keys makes nobody fetch"
        now[0] += 31
        assert await status(there.token("ec")) == 200
        there.down = True
        now[0] += 100_000
        assert await status(there.token("ec", sub="other")) == 200, "what is known goes on while they are away"

    entry = f"{FOREIGN} audience=shop mails.read=read events.write=collect"
    run(server, story, INLAY_OAUTH_ISSUERS=entry)


def test_the_token_endpoint_asks_for_proof_in_the_form_or_as_basic(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        key, shown = await api.made("read", "collect")
        ask = {"grant_type": "client_credentials"}
        full = {**ask, "client_id": key.key_id, "client_secret": shown}

        async def asked(form: dict[str, str], basic: tuple[str, str] | None = None) -> tuple[int, str]:
            answer = await api.client.post("/v1/oauth/token", data=form, auth=basic)
            assert answer.headers["cache-control"] == "no-store"
            assert shown not in answer.text
            body = answer.json()
            return answer.status_code, body.get("error", body.get("scope"))

        assert await asked(full) == (200, "collect read")
        assert await asked(ask, (key.key_id, shown)) == (200, "collect read")
        assert await asked({**full, "scope": "read"}) == (200, "read")
        assert await asked({**full, "scope": "admin"}) == (400, "invalid_scope")
        assert await asked({**full, "client_secret": shown[:-1] + "x"}) == (401, "invalid_client")
        assert await asked({**full, "client_id": "inl_000000000000"}) == (401, "invalid_client")
        assert await asked({**ask, "client_id": "environment key 1", "client_secret": ALL}) == (401, "invalid_client")
        assert await asked(ask) == (401, "invalid_client")
        assert await asked({**full, "grant_type": "password"}) == (400, "unsupported_grant_type")
        assert await asked({}) == (400, "invalid_request")
        assert await asked(full, (key.key_id, shown)) == (400, "invalid_request")
        twice = await api.client.post("/v1/oauth/token", content=b"grant_type=client_credentials&grant_type=x")
        assert twice.json()["error"] == "invalid_request"
        claims = jwt.decode(await api.token(key, shown), options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 600
        short, secret = await api.made("read", seconds=30)
        assert jwt.decode(await api.token(short, secret), options={"verify_signature": False})["exp"] <= short.ends_at

    run(server, story)


def test_while_redis_is_away_whoever_was_known_stays_known_and_nobody_is_given_a_token(own_server: RedisServer) -> None:
    async def story(api: Service) -> None:
        key, shown = await api.made("collect", "read", rate="1000/minute")
        token = await api.token(key, shown)
        own_server.kill()
        for secret in (ALL, shown, token):
            answer = await api.call("GET", "/v1/blocks/weekly?user_id=u1", secret)
            assert answer.status_code == 200
        assert (await api.call("GET", "/v1/blocks/weekly?user_id=u1", "stranger")).status_code == 401
        form = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": shown}
        refused = await api.client.post("/v1/oauth/token", data=form)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        undone = await api.call("POST", "/v1/admin/keys", json={"name": "x", "scopes": ["read"]})
        assert undone.status_code == 503, "what cannot be written down is not done"
        own_server.start()

    run(own_server, story)


def test_a_process_that_never_read_the_stored_keys_does_not_call_them_unknown(own_server: RedisServer) -> None:
    own_server.kill()

    async def story(api: Service) -> None:
        assert (await api.call("GET", "/v1/blocks/weekly?user_id=u1", ALL)).status_code == 200
        answer = await api.call("GET", "/v1/blocks/weekly?user_id=u1", "inl_000000000000_0")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")

    run(own_server, story)
    own_server.start()


def test_who_calls_too_often_waits_but_no_mail_does(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        _, shown = await api.made("collect", "read", rate="3/minute")
        async with service(server) as other:
            first = [(await api.call("POST", "/v1/events", shown, content=b"[]")).status_code for _ in range(3)]
            assert first == [202] * 3
            refused = await api.call("POST", "/v1/events", shown, content=b"[]")
            assert refused.status_code == 429
            assert 0 < int(refused.headers["retry-after"]) <= 60
            assert (await api.call("GET", "/v1/users/u1", shown)).status_code == 429
            mail = await api.call("GET", "/v1/blocks/weekly?user_id=u1", shown)
            assert mail.status_code == 200
            assert {block["source"] for block in mail.json()["blocks"]} <= {"popular", "static"}
            assert (await api.call("POST", "/v1/events", content=b"[]")).status_code == 202, "others do not wait"
            await api.app.state.rates.share()
            assert (await other.call("GET", "/v1/users/u1", shown)).status_code == 200, "not known there yet"
            await other.app.state.rates.share()
            assert (await other.call("GET", "/v1/users/u1", shown)).status_code == 429, "known now"

    run(server, story)


def test_a_network_and_the_token_endpoint_have_rates_of_their_own(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        for expected in (200, 200, 429):
            assert (await api.call("GET", "/v1/users/u1")).status_code == expected
        key, shown = await api.made("read")
        form = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": shown}
        for expected in (200, 200, 429):
            assert (await api.client.post("/v1/oauth/token", data=form)).status_code == expected

    run(server, story, INLAY_RATE_NETWORK="2/minute", INLAY_RATE_TOKENS="2/minute")


def test_while_redis_is_away_rates_keep_nobody_out_who_was_within_them(own_server: RedisServer) -> None:
    async def story(api: Service) -> None:
        _, shown = await api.made("read", rate="3/minute")
        own_server.kill()
        statuses = [(await api.call("GET", "/v1/blocks/weekly?user_id=u1", shown)).status_code for _ in range(6)]
        assert statuses == [200] * 6
        with contextlib.suppress(Exception):
            await api.app.state.rates.share()
        own_server.start()

    run(own_server, story)


def test_keys_are_made_listed_rotated_and_revoked_from_the_terminal(
    server: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INLAY_REDIS_URL", server.url)

    def keys(*words: str, code: int = 0) -> tuple[str, str]:
        assert keys_main(words) == code
        return capsys.readouterr()

    shown = keys("create", "Braze", "--scope", "read", "--network", "10.0.0.0/8", "--rate", "5/second").out.strip()
    key_id = shown.rpartition("_")[0]
    assert (len(shown), shown.startswith("inl_")) == (len("inl_") + 12 + 1 + 64, True)
    listed = keys("list").out
    assert key_id in listed
    assert "10.0.0.0/8" in listed
    assert shown not in listed
    second = keys("rotate", key_id, "--overlap", "1h").out.strip()
    assert keys("list").out.endswith("2 keys\n")
    assert "is over" in keys("revoke", key_id).err
    assert keys("list").out.endswith("1 keys\n")
    assert "revoked" in keys("list", "--all").out
    for wrong in (["rotate", key_id], ["revoke", "inl_0"], ["create", "x", "--scope", "read", "--network", "all"]):
        assert keys(*wrong, code=2).err.startswith("keys: ")
    assert audit_main([]) == 0
    told = capsys.readouterr().out
    assert [line.split("keys ")[1].split()[0] for line in told.splitlines()][:3] == ["create", "rotate", "revoke"]
    held = b"".join(stored(server))
    for secret in (shown, second):
        assert secret.rpartition("_")[2].encode() not in held


WORD: Final = {"Idempotency-Key": "9f8e7d6c-5b4a-3928"}
WANTED: Final = {"name": "once", "scopes": ["read"]}


def test_what_is_asked_with_the_same_word_is_done_once_and_answered_alike(server: RedisServer) -> None:
    """Fifty at a time in two processes, afterwards, after a failure, by somebody else, and for something else."""

    async def story(api: Service) -> None:
        async with service(server) as other:
            asked = ([api, other][number % 2] for number in range(50))
            answers = await asyncio.gather(
                *(each.call("POST", "/v1/admin/keys", json=WANTED, headers=WORD) for each in asked)
            )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        made = answers[0].json()
        assert [key.key_id for key in await api.ring.keys()] == [made["key_id"]]
        await api.learn()
        assert (await api.call("GET", "/v1/users/u1", made["key"])).status_code == 200
        for changed in ({**WANTED, "scopes": ["admin"]}, {**WANTED, "name": "twice"}):
            answer = await api.call("POST", "/v1/admin/keys", json=changed, headers=WORD)
            assert (answer.status_code, len(await api.ring.keys())) == (422, 1)
            assert "came with another request before" in answer.text
        where = f"/v1/admin/keys/{made['key_id']}/rotate"
        assert (await api.call("POST", where, headers=WORD)).status_code == 422, "one word, one request"
        more = {"Idempotency-Key": WORD["Idempotency-Key"] + "-2"}
        rotated = await asyncio.gather(*(api.call("POST", where, headers=more) for _ in range(10)))
        assert len({answer.content for answer in rotated}) == 1
        assert len(await api.ring.keys()) == 2
        _, admin = await api.made("admin")
        answer = await api.call("POST", "/v1/admin/keys", admin, json=WANTED, headers=WORD)
        assert answer.json()["key_id"] != made["key_id"], "the words of one caller are not those of another"
        held = b"".join(stored(server))
        secrets = [made["key"], rotated[0].json()["key"], WORD["Idempotency-Key"]]
        assert not [each for each in secrets if each.encode() in held]

    run(server, story)


def test_after_a_failure_the_same_word_does_it(own_server: RedisServer) -> None:
    async def story(api: Service) -> None:
        own_server.kill()
        assert (await api.call("POST", "/v1/admin/keys", json=WANTED, headers=WORD)).status_code == 503
        own_server.start()
        refused = await api.call("POST", "/v1/admin/keys", json={**WANTED, "scopes": ["none"]}, headers=WORD)
        assert refused.status_code == 422
        first, again = [await api.call("POST", "/v1/admin/keys", json=WANTED, headers=WORD) for _ in range(2)]
        assert (first.status_code, first.content) == (201, again.content)
        assert len(await api.ring.keys()) == 1

    run(own_server, story)


HALVES: Final = (b'{"name": "a\\ud800\\n", "scopes": ["read"]}', b'{"name": "a", "scopes": ["r\\ud800ead"]}')


@pytest.mark.parametrize("body", HALVES)
@pytest.mark.parametrize("headers", [WORD, {}], ids=["with a word", "without"])
def test_half_letters_are_refused_in_words(
    server: RedisServer, body: bytes, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """And the audit log has one line of it, in which all can be read."""
    caplog.set_level("INFO", "inlay.audit")

    async def story(api: Service) -> None:
        how = {"content": body, "headers": {**headers, "Content-Type": "application/json"}}
        assert (await api.call("POST", "/v1/admin/keys", **how)).status_code == 422

    run(server, story)
    (line,) = (each.getMessage() for each in caplog.records if each.name == "inlay.audit")
    assert line.isprintable()
    assert line.rstrip("\ufffd").endswith("keys create a")


@pytest.mark.parametrize("word", ["", "short", "x" * 201, "with\ta tab in it ok"])
def test_a_word_that_cannot_be_used_is_refused(server: RedisServer, word: str) -> None:
    async def story(api: Service) -> None:
        answer = await api.call("POST", "/v1/admin/keys", json=WANTED, headers={"Idempotency-Key": word})
        assert (answer.status_code, await api.ring.keys()) == (422, [])

    run(server, story)


def test_without_a_word_each_request_makes_a_key(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        await asyncio.gather(*(api.call("POST", "/v1/admin/keys", json=WANTED) for _ in range(5)))
        assert len(await api.ring.keys()) == 5

    run(server, story)
