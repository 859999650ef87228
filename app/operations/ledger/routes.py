"""What the postings of each business move, as the database holds them to it (docs/adr/0058)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from app.domain.kinds import KINDS
from app.domain.kinds.base import Route
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket, Stage
from app.models import PostingRoute, UntiedBusiness
from app.operations.ledger import settlement

_DAY_END = (
    Route(Stage.SETTLEMENT, False, Bucket.PENDING_TO_TRADING, Bucket.TRADING),
    Route(Stage.SETTLEMENT, False, Bucket.PENDING_TO_REGISTRY, Bucket.AVAILABLE),
)


def sync(connection: Connection) -> None:
    """Write the routes of the catalogue of kinds and of the day-end, as the schema's owner."""
    if faults(connection):
        connection.execute(delete(UntiedBusiness))
        connection.execute(delete(PostingRoute))
        connection.execute(insert(PostingRoute), _wanted())


def faults(connection: Connection) -> list[str]:
    """Return what the database has otherwise than the program: routes, and untied businesses."""
    wanted = _wanted()
    columns = [PostingRoute.__table__.c[name] for name in wanted[0]]
    found = {tuple(row) for row in connection.execute(select(*columns))}
    expected = {tuple(row.values()) for row in wanted}
    untied = connection.scalars(select(UntiedBusiness.business).order_by(UntiedBusiness.business))
    return [
        *(f"route {row} is missing" for row in sorted(map(str, expected - found))),
        *(f"route {row} is not the program's" for row in sorted(map(str, found - expected))),
        *(f"business {each} is tied to nothing" for each in untied),
    ]


def _wanted() -> list[dict[str, Any]]:
    routes = [(code, route) for code, kind in KINDS.items() for route in kind.routes]
    routes += [(settlement.BUSINESS, route) for route in _DAY_END]
    return [
        {
            "business": business,
            "stage": str(route.stage),
            "at_colleague": route.at_colleague,
            "from_bucket": int(route.source),
            "to_bucket": int(route.target),
            "giver": ISSUANCE_ACCOUNT_ID if route.source is Bucket.ISSUED else None,
            "to_receiver": route.to_receiver,
            "from_source": route.from_source,
        }
        for business, route in routes
    ]
