"""The audit log, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from fastapi import APIRouter, Depends

from pipeline.store.audit import AUDIT_ENTRY, read_audit
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.auth.permissions import forbid_keeping
from serving.deps import Database
from serving.inputs import Paged
from serving.routing import ThreadedRoute

ENTRIES = Order("audit", (int,), lambda entry: (entry.id,))

router = APIRouter(route_class=ThreadedRoute, prefix="/audit", tags=["access"], dependencies=[Depends(forbid_keeping)])


@described_by(AUDIT_ENTRY)
class AuditOut(Row):
    """An entry."""

    is_timeless: ClassVar[bool] = True

    id: int
    at: datetime
    actor: str
    user_id: int | None
    action: str
    subject: str
    request_id: str | None
    client: str | None
    detail: dict[str, Any]


@router.get("")
def list_audit(query: Paged, database: Database) -> Collection[AuditOut]:
    """Each write and each login, the newest first."""
    with database.reading() as connection:
        before = ENTRIES.decoded(query.cursor)
        rows = read_audit(connection, before[0] if before else None, query.limit + 1)
    return Collection[AuditOut].page(rows, query.limit, ENTRIES, None)
