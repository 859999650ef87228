"""The tables: columns, constraints, relationships and small properties."""

from app.models.account import Account, TransferPermissionChange, Venue, VenueInstrument
from app.models.application import Application, ApplicationEvent, ApplicationLine
from app.models.calendar import BusinessClock, SettlementRun, TradingDay
from app.models.instrument import Instrument
from app.models.ledger import Entry, Holding, Movement, Posting, SealedBlock
from app.models.member import (
    Captcha,
    LoginFailure,
    LoginRecord,
    LoginSession,
    Member,
    PasswordRecord,
    Preference,
)
from app.models.operation_log import OperationLog

__all__ = [
    "Account",
    "Application",
    "ApplicationEvent",
    "ApplicationLine",
    "BusinessClock",
    "Captcha",
    "Entry",
    "Holding",
    "Instrument",
    "LoginFailure",
    "LoginRecord",
    "LoginSession",
    "Member",
    "Movement",
    "OperationLog",
    "PasswordRecord",
    "Posting",
    "Preference",
    "SealedBlock",
    "SettlementRun",
    "TradingDay",
    "TransferPermissionChange",
    "Venue",
    "VenueInstrument",
]
