"""Feast's Redis online store, told where Redis is by INLAY_REDIS_URL like every other part of the product."""

from __future__ import annotations

import os
from typing import Any, Literal

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from redis.connection import parse_url

DEFAULT_URL = "redis://127.0.0.1:6379/0"


class RedisUrlOnlineStoreConfig(RedisOnlineStoreConfig):
    """`connection_string` is a Redis URL; where it is not given, that of INLAY_REDIS_URL."""

    type: Literal["feature_repo.redis_url.RedisUrlOnlineStore"] = "feature_repo.redis_url.RedisUrlOnlineStore"

    def __init__(self, **values: Any) -> None:
        """Fill in the address when the configuration is read, not when this module is."""
        values.setdefault("connection_string", os.environ.get("INLAY_REDIS_URL") or DEFAULT_URL)
        super().__init__(**values)


class RedisUrlOnlineStore(RedisOnlineStore):
    """As Feast's own, but its address is a URL (`redis://` or `rediss://`)."""

    @staticmethod
    def _parse_connection_string(connection_string: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        known: dict[str, Any] = dict(parse_url(connection_string))
        node = {"host": known.pop("host", "127.0.0.1"), "port": known.pop("port", 6379)}
        if connection_string.startswith("rediss://"):
            known.pop("connection_class", None)
            known["ssl"] = True
        return [node], known
