"""The features as Feast is told of them: entities, views and services. The only file that `feast apply` may run.

A second file that imported this one would register every entity twice: Feast executes each under a top-level name.
What there is of each stands in `declared.py`.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Bool, Bytes, Float64, Int64, String, UnixTimestamp

from feature_repo import declared

TYPES = {
    declared.INT: Int64,
    declared.FLOAT: Float64,
    declared.TEXT: String,
    declared.BOOL: Bool,
    declared.BYTES: Bytes,
    declared.TIME: UnixTimestamp,
    declared.INTS: Array(Int64),
    declared.FLOATS: Array(Float64),
    declared.TEXTS: Array(String),
    declared.TIMES: Array(UnixTimestamp),
}


def _entity(of: declared.Entity) -> Entity:
    return Entity(name=of.name, join_keys=[of.join_key], value_type=ValueType.STRING, description=of.description)


def _view(of: declared.View, entity: Entity) -> FeatureView:
    """A view that is pushed to; its batch source is the lake's folder of its entity, in which all of its views are.

    The offline store looks for that folder in the lake of INLAY_LAKE_URL, wherever that is.
    """
    lake = FileSource(
        name=f"{of.name}_lake",
        path=f"../var/lake/features/entity={entity.name}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    return FeatureView(
        name=of.name,
        entities=[entity],
        ttl=timedelta(days=of.days),
        schema=[Field(name=field, dtype=TYPES[kind]) for field, kind in of.fields.items()],
        source=PushSource(name=f"{of.name}_push", batch_source=lake),
        online=True,
        description=of.description,
    )


user, item, scope = map(_entity, (declared.USER, declared.ITEM, declared.SCOPE))

user_activity, user_items, user_profile, user_segment, user_state = (_view(view, user) for view in declared.USER.views)
item_catalogue, item_stats, item_neighbours, item_state = (_view(view, item) for view in declared.ITEM.views)
scope_popular, scope_bestsellers, scope_state = (_view(view, scope) for view in declared.SCOPE.views)

blocks_user = FeatureService(name="blocks_user", features=[user_activity, user_items, user_profile, user_segment])
blocks_item = FeatureService(name="blocks_item", features=[item_catalogue, item_stats, item_neighbours])
blocks_scope = FeatureService(name="blocks_scope", features=[scope_popular, scope_bestsellers])
