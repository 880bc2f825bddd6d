"""Numbers of a simulation's paths as an Arrow stream, with what JSON says beside its values."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from serving.answers.formats import MEDIA_TYPES
from serving.answers.tables import METADATA
from serving.finishing import TOLD, with_told
from serving.routes.simulating.forms import JobOut

DOCUMENTED: dict[str, Any] = {
    "description": f"An Arrow stream; its schema and {TOLD} have notice, warnings and staleness.",
    "content": {MEDIA_TYPES["arrow"]: {"schema": {"type": "string", "format": "binary"}}},
}
"""What the documentation of such a route says of its answer."""

_BESIDE = {"notice", "warnings", "staleness"}


def streamed(columns: Mapping[str, Any], job: JobOut, request: Request) -> Response:
    """The columns of a job's paths, which nobody keeps.

    Parameters
    ----------
    columns
        Arrays of one length, (paths,) each, by name.
    """
    from arro3.core import Table  # noqa: PLC0415 - for these answers only
    from arro3.io import write_ipc_stream  # noqa: PLC0415

    told = json.dumps(with_told(job, request).model_dump(mode="json", include=_BESIDE))
    table, stream = Table.from_pydict(dict(columns)), io.BytesIO()
    write_ipc_stream(table.with_schema(table.schema.with_metadata({METADATA.decode(): told})), stream)
    return Response(
        stream.getvalue(), media_type=MEDIA_TYPES["arrow"], headers={TOLD: told, "Cache-Control": "no-store"}
    )
