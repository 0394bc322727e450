"""A web server on loopback over real TLS, for what the API fetches: well behaved, slow, huge, and leading elsewhere.

    with https_server() as server:
        get("https://shop.example/page", server.reach(), ...)

A name of the open internet leads to it by a resolver and a connector of the test's own: the guard looks at the public
address that the resolver says, and the connector calls loopback in its place.
"""

from __future__ import annotations

import gzip
import io
import ipaddress
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image

from api.outgoing import Reach

PUBLIC = "93.184.216.34"
NAMES = ("shop.example", "other.example", "login.inside.example")
SOON = 0.05


class HttpsServer:
    """The server.

    Args:
        folder: for its certificate, which `trust` trusts.
    """

    def __init__(self, folder: Path) -> None:
        certified(folder)
        self.asked: list[str] = []
        self.called: list[tuple[str, int]] = []
        self.left = threading.Event()
        self.trust = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def reach(self, **other: Any) -> Reach:
        """What calls this server for every name that is looked up, at an address of the open internet."""
        said: dict[str, Any] = {"look_up": lambda _: [PUBLIC], "connect": self._connect, "context": self.trust}
        return Reach(**{**said, **other})

    def close(self) -> None:
        self.left.set()
        self._server.shutdown()
        self._server.server_close()

    def _connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.called.append(address)
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append(self.headers["Host"] + self.path)
                name, _, rest = self.path[1:].partition("/")
                PAGES.get(name, page)(self, server, rest)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # whoever called has gone
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def answer(handler: Any, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content_type": "image/png", "content_length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def page(handler: Any, _server: Any, _rest: str) -> None:
    answer(handler, 200, b"a page")


def gone(handler: Any, _server: Any, rest: str) -> None:
    answer(handler, int(rest), b"")


def large(handler: Any, _server: Any, rest: str) -> None:
    answer(handler, 200, b"x" * int(rest))


def endless(handler: Any, server: Any, _rest: str) -> None:
    """Bytes without end, and without a length."""
    handler.close_connection = True
    handler.send_response(200)
    handler.end_headers()
    while not server.left.is_set():
        handler.wfile.write(b"x" * 65_536)


def cut(handler: Any, _server: Any, _rest: str) -> None:
    answer(handler, 200, b"half", content_length="8")
    handler.close_connection = True


def silent(_handler: Any, server: Any, _rest: str) -> None:
    server.left.wait(10)


def slow_head(handler: Any, server: Any, _rest: str) -> None:
    """A head that always goes on."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-")
    while not server.left.is_set():
        handler.wfile.write(b"a")
        time.sleep(SOON)


def slow_body(handler: Any, server: Any, _rest: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while not server.left.is_set():
        handler.wfile.write(b"x")
        time.sleep(SOON)


def elsewhere(handler: Any, _server: Any, rest: str) -> None:
    """A redirect, by its status and where to."""
    status, _, where = rest.partition("/")
    answer(handler, int(status), b"", location=unquote(where).encode().decode("latin-1"))


def picture(handler: Any, _server: Any, rest: str) -> None:
    answer(handler, 200, PICTURES[rest]())


def packed(handler: Any, _server: Any, _rest: str) -> None:
    """What would be huge to whoever unpacks it."""
    answer(handler, 200, gzip.compress(b"\0" * 50_000_000, 9), content_encoding="gzip")


def typed(handler: Any, _server: Any, rest: str) -> None:
    """A page of another kind than it says, or says nothing of."""
    answer(handler, 200, TYPED[rest], content_type="image/png")


PAGES: dict[str, Callable[[Any, Any, str], None]] = {
    "gone": gone, "large": large, "endless": endless, "cut": cut, "silent": silent, "slow_head": slow_head,
    "slow_body": slow_body, "elsewhere": elsewhere, "picture": picture, "packed": packed, "typed": typed,
}  # fmt: skip
TYPED = {
    "html": b"<!doctype html><script>alert(1)</script>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><image href="https://127.0.0.1/"/></svg>',
    "nothing": b"", "ps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "bmp": b"BM" + b"\0" * 60,
}  # fmt: skip


def _saved(kind: str, width: int, height: int, mode: str = "RGB", **how: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 1).save(out, kind, **how)
    return out.getvalue()


PICTURES: Mapping[str, Callable[[], bytes]] = {
    "good.png": lambda: _saved("PNG", 90, 70),
    "good.jpg": lambda: _saved("JPEG", 90, 70),
    "bomb.png": lambda: _saved("PNG", 20_000, 20_000, "1"),
    "less.png": lambda: _saved("PNG", 9_000, 9_000, "1"),
    "bomb.gif": lambda: b"GIF89a\xff\xff\xff\xff\x80\0\0" + b"\0" * 6 + b",\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;",
    "bomb.webp": lambda: _webp(16_383, 16_383),
    "half.jpg": lambda: _saved("JPEG", 900, 700)[:400],
}


def _webp(width: int, height: int) -> bytes:
    """A canvas that is said to be huge, around one dot."""
    dot = _saved("WEBP", 1, 1, lossless=True)[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + (10).to_bytes(4, "little") + b"\2\0\0\0" + size
    frame = b"\0" * 6 + b"\0" * 6 + b"\1\0\0" + b"\0" + dot
    body += b"ANIM" + (6).to_bytes(4, "little") + b"\0" * 6 + b"ANMF" + len(frame).to_bytes(4, "little") + frame
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def certified(folder: Path) -> None:
    """A certificate for loopback and some names, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's own")])
    own = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, NAMES)])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        .add_extension(own, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


@contextmanager
def https_server() -> Iterator[HttpsServer]:
    """A running server, and its end."""
    with tempfile.TemporaryDirectory(prefix="inlay-tls-") as folder:
        server = HttpsServer(Path(folder))
        try:
            yield server
        finally:
            server.close()
