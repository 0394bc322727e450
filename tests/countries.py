"""A file of countries in MaxMind's format, written by a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write_database(path: Path, networks: Mapping[str, Any]) -> Path:
    """A database as MaxMind's are; it takes the place of the one before at once."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="GeoLite2-Country")
    for network, content in networks.items():
        writer.insert_network(IPSet([network]), content)
    writer.to_db_file(str(path.with_suffix(".new")))
    path.with_suffix(".new").replace(path)
    return path
