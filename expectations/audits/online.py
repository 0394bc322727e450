"""What is online, as Feast itself reads it: the audits share no code with what wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis
from feast import FeatureStore
from feast.errors import FeastObjectNotFoundException
from feast.infra.key_encoding_utils import deserialize_entity_key

AT_ONCE: Final = 500
"""Entities read in one call."""
SERVICES: Final[Mapping[str, tuple[str, str]]] = {
    "user": ("blocks_user", "user_id"),
    "item": ("blocks_item", "item_id"),
    "scope": ("blocks_scope", "scope"),
}
"""By entity, the feature service that has its views, and its join key."""
SECOND: Final = 1_000_000


class NotApplied(RuntimeError):
    """Feast's registry has no features; the message says what to do."""


class OnlineRow(NamedTuple):
    """The features of an entity over all its views, and of when its newest view is (microseconds)."""

    values: dict[str, Any]
    at: int


class Online:
    """Reads the online store.

    Args:
        store: Feast, on the registry of the features.
        client: the Redis that it reads.
    """

    def __init__(self, store: FeatureStore, client: redis.Redis) -> None:
        self._store, self._client = store, client

    def keys(self, entity: str) -> Iterator[str]:
        """Every entity of a kind that has a row."""
        project = self._store.project.encode()
        join_key = SERVICES[entity][1]
        for key in self._client.scan_iter(match=b"*" + join_key.encode() + b"*" + project, count=10_000):
            try:
                entity_key = deserialize_entity_key(key.removesuffix(project), 3)
            except (ValueError, IndexError, UnicodeDecodeError):
                continue  # something else whose name ends alike
            if list(entity_key.join_keys) == [join_key]:
                yield entity_key.entity_values[0].string_val

    def rows(self, entity: str, keys: Sequence[str]) -> dict[str, OnlineRow]:
        """The rows of some entities, times as whole seconds since 1970; who has none is left out.

        Raises:
            NotApplied: the registry does not know the features.
        """
        name, join_key = SERVICES[entity]
        try:
            service = self._store.get_feature_service(name)
        except FeastObjectNotFoundException:
            raise NotApplied("the registry has no features yet: run `feast apply` in feature_repo/") from None
        found = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            answer = self._store.get_online_features(service, [{join_key: key} for key in some])
            columns = answer.to_dict(include_event_timestamps=True)
            order = columns.pop(join_key)
            stamps = [values for each, values in columns.items() if each.endswith("__ts")]
            names = [each for each in columns if not each.endswith("__ts") and each + "__ts" in columns]
            for place, key in enumerate(order):
                newest = max(values[place] for values in stamps)
                if newest > 0:
                    row = {each: _plain(columns[each][place]) for each in names}
                    found[key] = OnlineRow(row, _micros(newest))
        return found


def open_online(redis_url: str, repo: Path | None = None) -> Online:
    """What reads the online store by the features in `repo`, by default those that the product ships with."""
    if repo is None:
        spec = find_spec("feature_repo")
        if spec is None or not spec.submodule_search_locations:
            raise NotApplied("the package feature_repo is not installed; run from where Inlay is")
        repo = Path(next(iter(spec.submodule_search_locations)))
    return Online(FeatureStore(repo_path=str(repo)), redis.Redis.from_url(redis_url))


def _micros(stamp: float) -> int:
    """Feast tells a row's time in whole seconds, or as a datetime."""
    return round(stamp.timestamp() * SECOND) if isinstance(stamp, datetime) else int(stamp) * SECOND


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return int(moment.timestamp())
    return [_plain(each) for each in value] if isinstance(value, list) else value
