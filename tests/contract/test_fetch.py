"""Fetching a page of a platform's own, over real TLS on loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api import fetch


class Pages(BaseHTTPRequestHandler):
    """What lies where."""

    def do_GET(self) -> None:
        if self.path == "/silent":
            self.server.left.wait(10)  # type: ignore[attr-defined]
            return
        status = {"/gone": 404, "/elsewhere": 302}.get(self.path, 200)
        body = b"x" * 1_000_000 if self.path == "/large" else b"a page"
        self.send_response(status)
        self.send_header("Location", "/page")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose certificate is trusted."""
    folder = tmp_path_factory.mktemp("tls")
    certified(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.left = threading.Event()  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "certificate.pem"))
        yield f"https://127.0.0.1:{server.server_port}"
    server.left.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def certified(folder: Path) -> None:
    """A certificate for loopback, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    own = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        .add_extension(own, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


def test_a_page_is_fetched_up_to_a_bound(address: str) -> None:
    assert asyncio.run(fetch.fetch(f"{address}/page")) == b"a page"
    assert asyncio.run(fetch.fetch(f"{address}/large")) == b"x" * fetch.MOST_BYTES


@pytest.mark.parametrize("path", ["/gone", "/elsewhere"])
def test_an_error_is_no_page_and_a_redirect_is_not_followed(address: str, path: str) -> None:
    with pytest.raises(OSError, match=r"HTTP Error (404|302)"):
        asyncio.run(fetch.fetch(address + path))


def test_it_is_not_waited_for_long(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.2)
    with pytest.raises(OSError, match="timed out"):
        asyncio.run(fetch.fetch(f"{address}/silent"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "file:///etc/passwd", "ftp://127.0.0.1/", ""])
def test_nothing_but_https_is_fetched(url: str) -> None:
    with pytest.raises(OSError, match="only https"):
        asyncio.run(fetch.fetch(url))


def test_a_certificate_that_nobody_vouches_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(fetch.fetch(f"{address}/page"))
