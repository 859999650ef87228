"""The pages, one file a chapter of the manual; this is their catalogue and the order of the menus."""

from __future__ import annotations

from typing import Any

from flask import current_app
from flask_babel import lazy_gettext as _

from app.views.accounts.changes import AccountChangeView
from app.views.accounts.openings import AccountOpeningView
from app.views.accounts.operators import ColleagueReviewView, OperatorView
from app.views.administration.announcements import AnnouncementDeskView, AnnouncementView
from app.views.administration.jobs import JobFailureView, JobView
from app.views.administration.logs import LoginRecordView, OperationLogView
from app.views.administration.mailbox import MailboxView
from app.views.administration.parameters import ParameterHistoryView, ParameterView
from app.views.administration.permissions import PermissionSheetView
from app.views.administration.trading_calendar import ClockView, TradingCalendarView
from app.views.applications.attachments import AttachmentView
from app.views.applications.review import ReviewedView, ReviewView, counts
from app.views.applications.signing import SigningView
from app.views.attestations.attestations import AttestationView, VerifyView
from app.views.cancellations.voluntary_cancellations import VoluntaryCancellationView
from app.views.compliance.notices import NoticeView
from app.views.compliance.obligations import ComplianceView
from app.views.compliance.statistics import ComplianceGapView, ComplianceStatisticsView
from app.views.compliance.surrenders import SurrenderRefundView, SurrenderView
from app.views.custody.custody import (
    CustodyDepositView,
    CustodyLinkView,
    CustodyReturnView,
    LinkedEnterpriseView,
)
from app.views.enquiries.enquiries import (
    ConfiscationEnquiryView,
    ConfiscationRefundEnquiryView,
    FreezeEnquiryView,
    FrozenPartView,
    HoldingView,
    IssuanceEnquiryView,
    RegistryEntryView,
    TradingEntryView,
    UnfreezeEnquiryView,
)
from app.views.frame.frame import TODO_COUNTS, AppearanceView
from app.views.frame.help import HelpView
from app.views.home.home import HomeView
from app.views.issuance.issuances import InstrumentView, IssuanceView
from app.views.people.certificate_authority import AuthorityView
from app.views.people.certificates import CertificateReplacementView, CertificateView
from app.views.people.enrolment import EnrolmentView, FirstSignInView
from app.views.people.members import MemberView
from app.views.people.online import LockView, OnlineView
from app.views.people.sign_in import SignInView
from app.views.reference.pages import PAGES, DictionaryView
from app.views.sanctions.sanctions import (
    ConfiscationRefundView,
    ConfiscationView,
    FreezeView,
    RestrictionLiftingView,
    RestrictionView,
    UnfreezeView,
)
from app.views.transfers.transfers import (
    ExchangeRegistryToTradingView,
    RegistryToTradingView,
    TradingToRegistryView,
    TransferPermissionView,
)

# (menu, icon, ((entry, page), ...)): the manual's words in the manual's order.
MENUS: tuple[tuple[Any, str, tuple[tuple[Any, type[Any]], ...]], ...] = (
    (
        _("Account management"),
        "ti-building-bank",
        (
            (_("Account openings"), AccountOpeningView),
            (_("Account detail changes"), AccountChangeView),
            (_("Certificates"), CertificateView),
            (_("Certificate replacements"), CertificateReplacementView),
            (_("Operators"), OperatorView),
            (_("Colleague's review"), ColleagueReviewView),
        ),
    ),
    (
        _("Holding transfers"),
        "ti-arrows-exchange",
        (
            (_("Registry to trading, started by the registry side"), RegistryToTradingView),
            (_("Transfer permission"), TransferPermissionView),
            (_("Trading to registry, started by the trading side"), TradingToRegistryView),
            (_("Registry to trading, started by the trading side"), ExchangeRegistryToTradingView),
        ),
    ),
    (
        _("Compliance management"),
        "ti-clipboard-check",
        (
            (_("Compliance"), ComplianceView),
            (_("Surrender records"), SurrenderView),
            (_("Compliance notices"), NoticeView),
            (_("Compliance statistics"), ComplianceStatisticsView),
            (_("Surrender refunds"), SurrenderRefundView),
        ),
    ),
    (
        _("Custody and returns"),
        "ti-building-warehouse",
        (
            (_("Custody deposits"), CustodyDepositView),
            (_("Links of enterprises"), CustodyLinkView),
            (_("Returns from custody"), CustodyReturnView),
        ),
    ),
    (
        _("Voluntary cancellation management"),
        "ti-leaf",
        ((_("Voluntary cancellations"), VoluntaryCancellationView),),
    ),
    (
        _("Enquiries"),
        "ti-search",
        (
            (_("Issuance enquiry"), IssuanceEnquiryView),
            (_("Holdings"), HoldingView),
            (_("Freeze enquiry"), FreezeEnquiryView),
            (_("Unfreeze enquiry"), UnfreezeEnquiryView),
            (_("Confiscation enquiry"), ConfiscationEnquiryView),
            (_("Confiscation refund enquiry"), ConfiscationRefundEnquiryView),
        ),
    ),
    (
        _("Reviews"),
        "ti-gavel",
        ((_("To review"), ReviewView), (_("Reviewed"), ReviewedView)),
    ),
    (
        _("Issuance management"),
        "ti-certificate",
        ((_("Instrument management"), InstrumentView), (_("Issuances"), IssuanceView)),
    ),
    (
        _("Freezes and confiscations"),
        "ti-lock",
        (
            (_("Freezes"), FreezeView),
            (_("Unfreezes"), UnfreezeView),
            (_("Confiscations"), ConfiscationView),
            (_("Confiscation refunds"), ConfiscationRefundView),
            (_("Account restrictions"), RestrictionView),
            (_("Liftings of restrictions"), RestrictionLiftingView),
        ),
    ),
    (
        _("System administration"),
        "ti-settings",
        (
            (_("Members"), MemberView),
            (_("Members online"), OnlineView),
            (_("Locked members"), LockView),
            (_("Sign-in log"), LoginRecordView),
            (_("Operation log"), OperationLogView),
            (_("Permission sheet"), PermissionSheetView),
            (_("System parameters"), ParameterView),
            (_("Parameter history"), ParameterHistoryView),
            (_("Data dictionary"), DictionaryView),
            (_("Trading calendar"), TradingCalendarView),
            (_("System clock"), ClockView),
        ),
    ),
)
WITHOUT_MENU = (
    HelpView,
    FirstSignInView,
    EnrolmentView,
    LinkedEnterpriseView,
    SigningView,
    ComplianceGapView,
    AuthorityView,
    JobFailureView,
    AttachmentView,
    AttestationView,
    VerifyView,
    SignInView,
    AppearanceView,
    FrozenPartView,
    RegistryEntryView,
    TradingEntryView,
    *PAGES,
)


def register(builder: Any) -> None:
    """Add every page, with the manual's menus in the manual's order."""
    builder.add_view(HomeView, "HomeView", label=_("Home"), icon="ti-home")
    for view, icon in ((AnnouncementView, "ti-speakerphone"), (AnnouncementDeskView, "ti-edit")):
        builder.add_view(view, view.__name__, label=view.title, icon=icon)
    for number, (title, icon, entries) in enumerate(MENUS):
        for label, view in entries:
            builder.add_view(
                view,
                view.__name__,
                label=label,
                category=f"menu-{number}",
                category_label=title,
                category_icon=icon,
            )
    builder.add_view(JobView, "JobView", label=_("My jobs"), icon="ti-progress-check")
    # What people were sent is theirs alone, and shown to nobody in a real registry.
    if current_app.config["PROFILE"] != "production":
        builder.add_view(MailboxView, "MailboxView", label=_("Demo mailbox"), icon="ti-mailbox")
    for view in WITHOUT_MENU:
        builder.add_view_no_menu(view)
    TODO_COUNTS[:] = [counts]
