"""The demonstration's exchange: its keys in a folder, and whom the registry trusts on a day."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

from flask import current_app
from sqlalchemy import create_engine, text

from config import Settings
from simulators.exchange import Exchange, Keys, Line

_TRUST = text("""
    INSERT INTO venue_certificate (venue_id, certificate, valid_from, disabled_from)
    SELECT id, :certificate, :day, :after FROM venue ORDER BY id LIMIT 1
    ON CONFLICT (certificate) DO NOTHING
""")


def keys(settings: Settings) -> Keys:
    """Return the exchange's keys, made at the first call."""
    return Keys(settings.folder / "exchange")


def exchange(settings: Settings) -> Exchange:
    """Return the exchange, which calls the registry as it is served here."""
    held = keys(settings)
    return Exchange(held, _line(settings, current_app.config["SITE_URL"]))


@cache
def _line(settings: Settings, audience: str) -> Line:
    """Return the line of this process: its token serves all stages, since a client gets few a minute."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return Line(f"http://{host}:{settings.port}", keys(settings), audience=audience)


def trust(settings: Settings, day: date) -> None:
    """Let the exchange's certificate count for one day alone, as the schema's owner.

    A venue whose certificate counts has to hand in its day before the day-end (docs/adr/0080).
    """
    owner = create_engine(settings.database_owner_url)
    with owner.begin() as connection:
        certificate = keys(settings).certificate(day)
        connection.execute(
            _TRUST, {"certificate": certificate, "day": day, "after": day + timedelta(days=1)}
        )
    owner.dispose()
