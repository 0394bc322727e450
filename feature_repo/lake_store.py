"""Feast's offline store over the lake: what was known of whom at which moment, joined by DuckDB.

Feast's own store for files forgets every asked row of whom it knows something at other times only, and what it forgets
in one view it does not look up in the next; it reads every file whole, and S3 by a library of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig, DaskRetrievalJob
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView

from dataflows.connectors.lake_events import MOMENT
from dataflows.connectors.lake_storage import LakeError, open_storage

DEFAULT_LAKE: Final = "../var/lake"
NEWEST: Final = """
WITH mine AS (
    SELECT * FROM rows WHERE ({keys}) IN (SELECT {keys} FROM asked)
    QUALIFY row_number() OVER (PARTITION BY {keys}, {at} ORDER BY {created} DESC) = 1
)
SELECT {features} FROM asked ASOF LEFT JOIN mine ON {same} AND asked."asked at" >= mine.{at} ORDER BY "asked row"
"""
"""Of each asked row the newest one that is not later; of equally new ones that which was created last."""


class LakeOfflineStoreConfig(DaskOfflineStoreConfig):
    """`lake_url` is as INLAY_LAKE_URL, and where it is not given, that of INLAY_LAKE_URL; a folder may be relative."""

    type: Literal["feature_repo.lake_store.LakeOfflineStore"] = "feature_repo.lake_store.LakeOfflineStore"
    lake_url: str = DEFAULT_LAKE

    def __init__(self, **values: Any) -> None:
        """Fill in the address when the configuration is read, not when this module is."""
        values.setdefault("lake_url", os.environ.get("INLAY_LAKE_URL") or DEFAULT_LAKE)
        super().__init__(**values)


class View(NamedTuple):
    """What is wanted of a view.

    Attributes:
        rows: all there are.
        at: the column that says since when a row is known.
        created: the one that says which of two is newer.
        keys: by column of the rows, that of what was asked.
        features: by name, what it is called in the answer.
        ttl: how old a row may be; 0: as old as it likes.
    """

    rows: pa.dataset.Dataset
    at: str
    created: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    ttl: timedelta


class LakeJob(DaskRetrievalJob):
    """Looks things up when it is asked for them."""

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self.evaluation_function().to_pandas()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.evaluation_function()


class LakeOfflineStore(DaskOfflineStore):
    """As Feast's own for files, but for training sets."""

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,  # as Feast calls it
        **options: Any,
    ) -> Any:
        """What was known at the moments of `entity_df`: every row of it, in its order, nulls where nothing was.

        Raises:
            ValueError: `entity_df` is no table of pandas.
        """
        if entity_df is None:
            return DaskOfflineStore.get_historical_features(
                config, feature_views, feature_refs, None, registry, project, full_feature_names, **options
            )
        if not isinstance(entity_df, pd.DataFrame):
            raise ValueError(f"a training set is asked for with a DataFrame of pandas, this is {type(entity_df)}")  # noqa: TRY004
        at = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        moments = pd.to_datetime(entity_df[at], utc=True)

        def look_up() -> pa.Table:
            views = (_view(each, feature_refs, config, full=full_feature_names) for each in feature_views)
            return training_set(entity_df, moments, views)

        return LakeJob(
            look_up,
            full_feature_names,
            str(config.repo_path),
            OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            RetrievalMetadata(feature_refs, [*entity_df.columns.drop(at)], moments.min(), moments.max()),
        )


def training_set(asked: pd.DataFrame, moments: pd.Series, views: Iterable[View]) -> pa.Table:
    """The asked rows with the features of some views, as they were known at some moments (UTC), one a row."""
    whole = pa.Table.from_pandas(asked, preserve_index=False)
    for view in (each for each in views if each.features):
        keys = {mine: pa.array(asked[theirs].astype(str), pa.string()) for mine, theirs in view.keys.items()}
        times = pa.array(moments, MOMENT, safe=False)
        wanted = pa.table({**keys, "asked at": times, "asked row": pa.array(range(len(asked)), pa.int64())})
        found = _known(wanted, view)
        for name in found.column_names:
            whole = whole.append_column(name, found.column(name))
    return whole


def _known(asked: pa.Table, view: View) -> pa.Table:
    import duckdb  # not in the image of the API, where Feast is too

    with duckdb.connect() as connection:
        connection.register("asked", asked)
        connection.register("rows", view.rows)
        fresh = "TRUE"
        if view.ttl:
            fresh = f'mine.{_quoted(view.at)} >= asked."asked at" - INTERVAL {round(view.ttl.total_seconds())} SECOND'
        features = (
            f"CASE WHEN {fresh} THEN mine.{_quoted(name)} END AS {_quoted(called)}"
            for name, called in view.features.items()
        )
        query = NEWEST.format(
            keys=", ".join(map(_quoted, view.keys)),
            at=_quoted(view.at),
            created=_quoted(view.created),
            features=", ".join(features),
            same=" AND ".join(f"asked.{_quoted(key)} = mine.{_quoted(key)}" for key in view.keys),
        )
        return connection.sql(query).to_arrow_table()


def _view(view: Any, refs: Iterable[str], config: Any, *, full: bool) -> View:
    name = view.projection.name_to_use()
    wanted = [feature for of, _, feature in (ref.partition(":") for ref in refs) if of == name]
    keys = {entity.name: view.projection.join_key_map.get(entity.name, entity.name) for entity in view.entity_columns}
    source = view.batch_source
    return View(
        _rows(source, config),
        source.timestamp_field,
        source.created_timestamp_column or source.timestamp_field,
        keys,
        {feature: f"{name}__{feature}" if full else feature for feature in wanted},
        view.ttl or timedelta(0),
    )


def _rows(source: FileSource, config: Any) -> pa.dataset.Dataset:
    """The rows of a source: those of the lake, or a file of somebody's own views.

    Raises:
        LakeError: there are none, or the lake cannot be used.
    """
    _, ours, folder = source.path.partition("/lake/features/")
    if not ours:
        return pa.dataset.dataset(FileSource.get_uri_for_file_path(config.repo_path, source.path), format="parquet")
    url = config.offline_store.lake_url
    storage = open_storage(url if "://" in url else str(Path(config.repo_path) / url))
    paths = [file.path for file in storage.find(f"features/{folder}")]
    if not paths:
        raise LakeError(
            f"the lake {url} has no rows in features/{folder}; see that INLAY_LAKE_URL is that of the flows"
        )
    return pa.dataset.dataset(paths, filesystem=storage.filesystem, format="parquet")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
