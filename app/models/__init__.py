"""The tables: columns, constraints and relationships."""

from app.models.account import (
    Account,
    AccountDetail,
    ColleagueReviewChange,
    CustodyLink,
    TransferPermissionChange,
    Venue,
    VenueInstrument,
)
from app.models.announcement import Announcement, AnnouncementReading
from app.models.application import (
    Application,
    ApplicationEvent,
    ApplicationLine,
    ApplicationParty,
    UnfinishedForm,
)
from app.models.attestation import Attestation
from app.models.calendar import BusinessClock, SettlementRun, TradingDay
from app.models.certificate import (
    Certificate,
    CertificateEnrolment,
    Challenge,
    RevocationList,
    Signature,
    SignatureEvent,
)
from app.models.exchange.machine import (
    MachineAnswer,
    MachineAssertion,
    MachineClient,
    MachineKey,
    MachineRate,
    MachineRequest,
    MachineToken,
)
from app.models.files import Attachment, ImportFile
from app.models.instrument import Instrument
from app.models.ledger import (
    Entry,
    Holding,
    Movement,
    Posting,
    PostingRoute,
    SealedBlock,
    UntiedBusiness,
)
from app.models.member import (
    Captcha,
    Invitation,
    KnownDevice,
    LoginFailure,
    LoginRecord,
    LoginSession,
    Member,
    PasswordRecord,
    Preference,
)
from app.models.notice import Notice, NoticeChange, NoticeInstrument
from app.models.operation_log import LogBlock, LogSeal, OperationLog
from app.models.parameter import OperatingMode, Parameter
from app.models.queue import Job, JobFailure, MailboxMessage, OutboxAttempt, OutboxMessage
from app.models.reference.values import Category, City, Sector
from app.models.reference.version import ReferenceVersion

__all__ = [
    "Account",
    "AccountDetail",
    "Announcement",
    "AnnouncementReading",
    "Application",
    "ApplicationEvent",
    "ApplicationLine",
    "ApplicationParty",
    "Attachment",
    "Attestation",
    "BusinessClock",
    "Captcha",
    "Category",
    "Certificate",
    "CertificateEnrolment",
    "Challenge",
    "City",
    "ColleagueReviewChange",
    "CustodyLink",
    "Entry",
    "Holding",
    "ImportFile",
    "Instrument",
    "Invitation",
    "Job",
    "JobFailure",
    "KnownDevice",
    "LogBlock",
    "LogSeal",
    "LoginFailure",
    "LoginRecord",
    "LoginSession",
    "MachineAnswer",
    "MachineAssertion",
    "MachineClient",
    "MachineKey",
    "MachineRate",
    "MachineRequest",
    "MachineToken",
    "MailboxMessage",
    "Member",
    "Movement",
    "Notice",
    "NoticeChange",
    "NoticeInstrument",
    "OperatingMode",
    "OperationLog",
    "OutboxAttempt",
    "OutboxMessage",
    "Parameter",
    "PasswordRecord",
    "Posting",
    "PostingRoute",
    "Preference",
    "ReferenceVersion",
    "RevocationList",
    "SealedBlock",
    "Sector",
    "SettlementRun",
    "Signature",
    "SignatureEvent",
    "TradingDay",
    "TransferPermissionChange",
    "UnfinishedForm",
    "UntiedBusiness",
    "Venue",
    "VenueInstrument",
]
