"""The catalogue of kinds: one life cycle for all applications, each kind is data."""

from app.domain.kinds.accounts.account import AccountChange, AccountOpening, CertificateReplacement
from app.domain.kinds.accounts.bankruptcy import BankruptcyAdministrator
from app.domain.kinds.accounts.class_rule import ClassRuleChange
from app.domain.kinds.accounts.closure import (
    AccountClosure,
    AccountRetirement,
    ClosureByOffice,
    InstrumentRetirement,
)
from app.domain.kinds.accounts.machine_key import MachineKey, MachineKeyRevocation
from app.domain.kinds.accounts.succession import AccountSuccession
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.assistance import AssistedSurrender
from app.domain.kinds.compliance.carry_over import (
    CarryOver,
    CarryOverBatch,
    CarryOverNotices,
    CarryOverRound,
)
from app.domain.kinds.compliance.claim import AllowanceClaim, AllowanceReturn
from app.domain.kinds.compliance.commission import Commission
from app.domain.kinds.compliance.deduction import AllowanceDeduction
from app.domain.kinds.compliance.differentiation import Differentiation, DifferentiationRemoval
from app.domain.kinds.compliance.figure_table import FigureTable
from app.domain.kinds.compliance.notice import NoticeDecision
from app.domain.kinds.compliance.offset import (
    OffsetApplication,
    OffsetBindingAnswer,
    OffsetBindingEnd,
    OffsetBindingEndByRegistry,
)
from app.domain.kinds.compliance.plan import PlanApplication
from app.domain.kinds.compliance.refund import (
    CommissionRefund,
    HelperRefund,
    PledgeRefund,
    SurrenderRefund,
)
from app.domain.kinds.compliance.surrender import Surrender, VoluntaryCancellation
from app.domain.kinds.custody import CustodyDeposit, CustodyLink, CustodyReturn
from app.domain.kinds.issuance import Issuance, IssuanceReversal, ProvinceIssue
from app.domain.kinds.money.bank_transfers import BankBindingApplication, Deposit, Withdrawal
from app.domain.kinds.money.reserve import DefaultCover, ReserveProvision
from app.domain.kinds.pledge import (
    Pledge,
    PledgeJointRelease,
    PledgeNote,
    PledgeNoteRelease,
    PledgeRelease,
    PledgeSurrender,
)
from app.domain.kinds.revocation import Revocation
from app.domain.kinds.rules import Facts
from app.domain.kinds.sanctions.authority import (
    Confiscation,
    ConfiscationRefund,
    Freeze,
    Restriction,
    RestrictionLifting,
    Unfreeze,
)
from app.domain.kinds.sanctions.court import (
    CourtAssignment,
    CourtFreeze,
    CourtRelease,
    CourtRenewal,
)
from app.domain.kinds.sanctions.court_disposal import (
    CourtSale,
    CourtSaleEnd,
    CourtSurrender,
)
from app.domain.kinds.sanctions.penalty import AdministrativePenalty
from app.domain.kinds.settlement import (
    BankDifference,
    CompanyGroup,
    DifferenceResolution,
    SettlementObjection,
    TradeSettlement,
)
from app.domain.kinds.transfer import (
    ExchangeRegistryToTrading,
    RegistryToTrading,
    TradingToRegistry,
)

KINDS: dict[str, Kind] = {
    kind.code: kind()
    for kind in (
        AccountOpening,
        AccountChange,
        CertificateReplacement,
        AccountSuccession,
        BankruptcyAdministrator,
        AccountClosure,
        ClosureByOffice,
        AccountRetirement,
        InstrumentRetirement,
        ClassRuleChange,
        MachineKey,
        MachineKeyRevocation,
        Issuance,
        ProvinceIssue,
        IssuanceReversal,
        RegistryToTrading,
        TradingToRegistry,
        ExchangeRegistryToTrading,
        TradeSettlement,
        SettlementObjection,
        DifferenceResolution,
        CompanyGroup,
        BankDifference,
        BankBindingApplication,
        Deposit,
        Withdrawal,
        ReserveProvision,
        DefaultCover,
        PlanApplication,
        FigureTable,
        AllowanceDeduction,
        AllowanceClaim,
        AllowanceReturn,
        NoticeDecision,
        Surrender,
        AssistedSurrender,
        SurrenderRefund,
        CommissionRefund,
        HelperRefund,
        PledgeRefund,
        Differentiation,
        DifferentiationRemoval,
        Commission,
        CarryOverRound,
        CarryOverNotices,
        CarryOver,
        CarryOverBatch,
        OffsetBindingAnswer,
        OffsetBindingEnd,
        OffsetBindingEndByRegistry,
        OffsetApplication,
        CustodyDeposit,
        CustodyLink,
        CustodyReturn,
        VoluntaryCancellation,
        Pledge,
        PledgeNote,
        PledgeJointRelease,
        PledgeRelease,
        PledgeNoteRelease,
        PledgeSurrender,
        Freeze,
        Unfreeze,
        CourtFreeze,
        CourtRenewal,
        CourtRelease,
        CourtAssignment,
        CourtSale,
        CourtSaleEnd,
        CourtSurrender,
        Confiscation,
        ConfiscationRefund,
        Restriction,
        RestrictionLifting,
        AdministrativePenalty,
        Revocation,
    )
}

__all__ = ["KINDS", "Facts", "Kind"]
