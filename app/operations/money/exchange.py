"""The words of a bank's line, for whoever speaks its protocol."""

from app.domain.banks import LINE_CODES, OrderState, Said
from app.domain.errors import RuleError
from app.operations.money.banks import ToBind
from app.operations.money.files import DayFile, FileRow
from app.operations.money.incoming import Incoming, Reply
from app.operations.money.orders import Sending

__all__ = [
    "LINE_CODES",
    "DayFile",
    "FileRow",
    "Incoming",
    "OrderState",
    "Reply",
    "RuleError",
    "Said",
    "Sending",
    "ToBind",
]
