"""A Kafka of a test's own: Apache Kafka 4 with one node, on loopback ports and in a folder of its own.

    with kafka_server() as server:
        server.url("events", partitions=3)      # kafka://127.0.0.1:40404/events?partitions=3

It can be paused, killed and started again, with what it holds. Java runs it; its jars come from Maven Central, once,
and are kept in `~/.cache/inlay`. Nothing else outlives the `with`: no process, no file.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.demo.embedded import free_port

POM: Final = Path(__file__).parent / "kafka" / "pom.xml"
START_SECONDS: Final = 60.0
FETCH_SECONDS: Final = 600.0

CONFIGURATION: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller},PROXIED://{host}:{proxied},SECURE://{host}:{secure}
advertised.listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{proxy},SECURE://{host}:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SECURE:SASL_SSL
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config={login}
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={folder}/server.pem
controller.listener.names=CONTROLLER
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=300
broker.session.timeout.ms=1500
controller.quorum.election.timeout.ms=300
controller.quorum.fetch.timeout.ms=500
message.max.bytes=4194304
num.network.threads=2
num.io.threads=2
log.cleaner.enable=false
"""
LOGIN: Final = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_inlay="secret";'
META: Final = "version=1\ncluster.id=aW5sYXktdGVzdHMtMDAwMA\nnode.id=1\ndirectory.id=aW5sYXktdGVzdHMtZGlyMQ\n"
"""What `kafka-storage format` would write, without a Java to be started for it."""


class KafkaServer:
    """A broker that keeps what it is given while it is killed and started again.

    Args:
        folder: where it may write.

    Attributes:
        bootstrap: its address.
        secure: the address at which it wants SASL over TLS, from the user `inlay` with the password `secret`.
        certificate: what it shows there.
        behind_proxy: a port of it for a proxy, and the port at which it tells clients to look for that proxy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, controller, proxied, proxy, secure = (free_port() for _ in range(5))
        self.bootstrap, self.secure = f"127.0.0.1:{self._port}", f"127.0.0.1:{secure}"
        self.behind_proxy = (proxied, proxy)
        self.certificate = folder / "server.crt"
        write_certificate(folder)
        (folder / "data").mkdir()
        (folder / "data" / "meta.properties").write_text(META)
        settings = CONFIGURATION.format(
            port=self._port,
            controller=controller,
            folder=folder,
            proxied=proxied,
            proxy=proxy,
            secure=secure,
            login=LOGIN,
            host="127.0.0.1",
        )
        (folder / "server.properties").write_text(settings)
        self.start()

    def url(self, topic: str, **query: object) -> str:
        """How a setting names a topic of it."""
        return f"kafka://{self.bootstrap}/{topic}" + (f"?{urlencode(query)}" if query else "")

    def start(self, *, wait: bool = True) -> None:
        """Start it, on the same port each time; returns when it answers."""
        command = [
            "java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            "-Djava.net.preferIPv4Stack=true", "-cp", f"{fetch_kafka()}/*", "kafka.Kafka",
            str(self._folder / "server.properties"),
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        if wait:
            self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        """Wait until a client is told of it."""
        give_up_at = time.monotonic() + START_SECONDS
        client = AdminClient({"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 200, "log_level": 0})
        while True:
            try:
                if client.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                pass  # not yet
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                self.kill()
                raise AssertionError(f"Kafka did not start:\n{self._log.read_text(errors='replace')[-3000:]}")

    def pause(self) -> None:
        """Let it hang: connections stay open and are taken, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on; returns when it answers."""
        self._process.send_signal(signal.SIGCONT)
        self.wait_until_it_answers()

    def kill(self) -> None:
        """Kill it where it stands; what it has acknowledged is in its folder."""
        self._process.kill()
        self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "kafka.log"


def write_certificate(folder: Path) -> None:
    """A key and a certificate of its own for 127.0.0.1, for the server together and for clients the latter."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kafka")])
    today = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "server.crt").write_bytes(pem)
    (folder / "server.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + pem
    )


@contextmanager
def kafka_server() -> Iterator[KafkaServer]:
    """A running broker, and its end."""
    with tempfile.TemporaryDirectory(prefix="inlay-kafka-") as folder:
        server = KafkaServer(Path(folder))
        try:
            yield server
        finally:
            server.kill()


def why_no_kafka() -> str:
    """What this machine lacks to run one; nothing if it lacks nothing."""
    missing = [program for program in ("java", "mvn") if not shutil.which(program)]
    return f"no {' and no '.join(missing)} on the PATH: Kafka needs Java 17 and Maven" if missing else ""


def fetch_kafka() -> Path:
    """The folder of Kafka's jars, fetched if they are not there."""
    version = ET.parse(POM).getroot().findtext("{*}version")  # noqa: S314  # our own file
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inlay"
    jars = cache / f"kafka-{version}"
    if not jars.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            fetched = Path(folder) / "jars"
            subprocess.run(
                ["mvn", "--quiet", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies",
                 f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"],
                check=True, timeout=FETCH_SECONDS,
            )  # fmt: skip
            try:
                fetched.rename(jars)
            except OSError:
                if not jars.exists():  # somebody else has fetched them meanwhile
                    raise
    return jars
