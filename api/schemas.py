"""The schemas of the event, for those who send it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Response

from dataflows.schemas import FOLDER

JSON_SCHEMA: Final = "application/schema+json"
AVRO_SCHEMA: Final = "application/vnd.apache.avro.schema+json"


def routes() -> APIRouter:
    """The routes; the files are read when this is called."""
    router = APIRouter(tags=["schemas"])
    as_json = (FOLDER / "event.schema.json").read_bytes()
    as_avro = (FOLDER / "event.avsc").read_bytes()

    def said(kind: str) -> dict[int | str, dict[str, Any]]:
        return {200: {"content": {kind: {}}}}

    @router.get(
        "/v1/schemas/event.json", summary="The event as JSON Schema", response_class=Response,
        responses=said(JSON_SCHEMA),
    )  # fmt: skip
    async def json_schema() -> Response:
        """Draft 2020-12."""
        return Response(as_json, media_type=JSON_SCHEMA)

    @router.get(
        "/v1/schemas/event.avsc", summary="The event as an Avro schema", response_class=Response,
        responses=said(AVRO_SCHEMA),
    )  # fmt: skip
    async def avro_schema() -> Response:
        """For a schema registry, or for whoever writes Avro."""
        return Response(as_avro, media_type=AVRO_SCHEMA)

    return router
