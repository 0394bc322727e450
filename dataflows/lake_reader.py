"""The lake as tables of DuckDB, each row once: `events`, and `users`, `items`, `scopes` of features.

    with connect(open_lake(url)) as lake:
        lake.sql("SELECT type, count(*) FROM events GROUP BY type").show()

What a kill or a client wrote twice is left out here, and so is what the gate held: it counts when it is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.dataset

from dataflows.connectors.lake_events import HELD_SCHEMA, SCHEMA
from dataflows.connectors.lake_files import EVENTS, FEATURES, HELD, Lake
from dataflows.lake_rows import schema_of
from feature_repo.layout import LAYOUTS, EntityLayout

WHOSE: Final = "coalesce(user_id, anonymous_id, item_id)"
"""Whom an event belongs to, as `Event.key` says it."""
TABLES: Final[Mapping[str, EntityLayout]] = {f"{entity}s": layout for entity, layout in LAYOUTS.items()}
ONCE: Final = """
CREATE VIEW {view} AS SELECT * FROM {source}
QUALIFY row_number() OVER (PARTITION BY {same} ORDER BY {order}) = 1
"""
NOT_HELD: Final = """
CREATE VIEW events_not_held AS SELECT * FROM events_as_written ANTI JOIN held USING (partition, "offset")
"""


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection with the tables; beside each there is one more, `…_as_written`, with everything in the files.

    It holds the files that there are now. One that was merged meanwhile is an error of DuckDB's: connect again.
    """
    connection = duckdb.connect()
    connection.register("events_as_written", _dataset(lake, EVENTS, SCHEMA))
    connection.register("held", _dataset(lake, HELD, HELD_SCHEMA))
    connection.execute(NOT_HELD)
    order = 'received_at, partition, CAST("offset" AS BIGINT)'
    connection.execute(ONCE.format(view="events", source="events_not_held", same=f"{WHOSE}, event_id", order=order))
    for table, layout in TABLES.items():
        connection.register(f"{table}_as_written", _dataset(lake, FEATURES.format(layout.entity), schema_of(layout)))
        same = f"{layout.join_key}, event_timestamp"
        connection.execute(ONCE.format(view=table, source=f"{table}_as_written", same=same, order="created DESC"))
    return connection


def _dataset(lake: Lake, folder: str, schema: pa.Schema) -> pa.dataset.Dataset:
    paths = [file.path for file in lake.files(folder)]
    return pa.dataset.dataset(paths, schema=schema, filesystem=lake.storage.filesystem, format="parquet")
