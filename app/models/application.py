"""Applications (业务申请) of every kind, with their lines, parties and events."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.moves import LARGEST_REQUEST
from app.domain.workflow import Action, Status
from app.models.account import Account, Venue
from app.models.encrypted import Encrypted
from app.models.instrument import Instrument
from app.models.ledger import TransactionId
from app.models.notice import Notice

_STATUSES = ", ".join(f"'{status}'" for status in Status)
_BY_DOCUMENT = (
    "'freeze', 'unfreeze', 'confiscation', 'confiscation_refund', "
    "'restriction', 'restriction_lifting'"
)
_ACTIONS = ", ".join(f"'{action}'" for action in Action)


class Application(Model):
    """One application."""

    __tablename__ = "application"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status_known"),
        CheckConstraint(
            "(status IN ('draft', 'refused', 'withdrawn', 'discarded'))"
            " OR (submitted_at IS NOT NULL)",
            name="submitted_has_a_time",
        ),
        CheckConstraint(
            "status <> 'pending_settlement' OR (settles_on IS NOT NULL AND posting_id IS NOT NULL)",
            name="pending_settlement_has_a_day",
        ),
        CheckConstraint("status <> 'refused' OR refusal <> ''", name="refused_says_why"),
        CheckConstraint(
            "status <> 'discarded' OR submitted_at IS NULL", name="discarded_was_never_submitted"
        ),
        CheckConstraint(
            "revoked_by_id IS NULL OR (status = 'approved'"
            " AND kind IN ('deduction', 'allowance_claim', 'penalty'))",
            name="revoked_was_approved",
        ),
        CheckConstraint(
            "status IN ('draft', 'returned', 'discarded') OR kind = 'notice'"
            " OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'assisted_surrender',"
            " 'surrender_refund', 'commission', 'offset', 'pledge_surrender', 'court_surrender',"
            " 'refund_of_commission', 'refund_to_helper', 'refund_to_pledge'))",
            name="surrender_has_a_notice",
        ),
        CheckConstraint(
            "status IN ('draft', 'returned', 'discarded', 'withdrawn')"
            " OR kind NOT IN ('pledge', 'pledge_note')"
            " OR coalesce(proposal ->> 'pledgee' <> '' AND proposal ->> 'uscc' ~ '^[0-9A-Z]{18}$'"
            " AND proposal ->> 'contract_no' <> '' AND proposal ->> 'filing_no' <> ''"
            " AND proposal ->> 'email' <> '' AND ends_on IS NOT NULL, false)",
            name="pledge_says_all",
        ),
        CheckConstraint(
            f"status IN ('draft', 'returned', 'discarded') OR kind NOT IN ({_BY_DOCUMENT})"
            " OR (document_no <> '' AND authority <> '' AND starts_on IS NOT NULL)",
            name="authority_acts_by_document",
        ),
        CheckConstraint(
            "status IN ('draft', 'returned', 'discarded') OR kind NOT LIKE 'court\\_%'"
            " OR (document_no <> '' AND authority <> ''"
            " AND (proposal ? 'served_at' OR kind = 'court_surrender'))",
            name="court_acts_by_document",
        ),
        CheckConstraint(
            "status IN ('draft', 'returned', 'discarded', 'withdrawn')"
            " OR coalesce(CASE kind WHEN 'deduction' THEN document_no <> '' AND starts_on IS NOT NULL"
            " AND (proposal ->> 'tonnes')::bigint > 0 AND (category <> 'fraud'"
            " OR ((proposal ->> 'tonnes')::bigint * 2 >= (proposal ->> 'allowance')::bigint"
            " AND (proposal ->> 'tonnes')::bigint <= (proposal ->> 'allowance')::bigint))"
            " WHEN 'allowance_claim' THEN document_no <> '' AND starts_on IS NOT NULL"
            " AND ends_on IS NOT NULL ELSE true END, false)",
            name="allocation_by_document",
        ),
        # Older ones have neither: NOT VALID in the database.
        CheckConstraint(
            "status IN ('draft', 'returned', 'withdrawn', 'discarded') OR kind <> 'issuance'"
            " OR (document_no <> '' AND starts_on IS NOT NULL)",
            name="issued_by_document",
        ),
        CheckConstraint(
            "status IN ('draft', 'returned', 'withdrawn', 'discarded')"
            " OR kind NOT IN ('differentiation', 'differentiation_removal', 'commission')"
            " OR document_no <> ''",
            name="chain_acts_by_document",
        ),
        CheckConstraint(
            "status IN ('draft', 'returned', 'discarded', 'withdrawn') OR kind <> 'penalty'"
            " OR coalesce(document_no <> '' AND authority <> '' AND starts_on IS NOT NULL"
            " AND (proposal ->> 'fen')::bigint >= 0, false)",
            name="penalty_by_document",
        ),
        CheckConstraint(
            "kind <> 'figure_table' OR status = 'discarded'"
            " OR (import_id IS NOT NULL AND document_no <> '' AND starts_on IS NOT NULL)",
            name="figure_table_says_all",
        ),
        Index("application_of_account", "kind", "account_id", "id"),
        Index(
            "figure_table_import",
            "import_id",
            unique=True,
            postgresql_where=text("kind = 'figure_table'"),
        ),
        Index(
            "application_claims",
            "account_id",
            postgresql_where=text("kind = 'allowance_claim' AND status = 'approved'"),
        ),
        Index(
            "application_pledges",
            "account_id",
            postgresql_where=text("kind IN ('pledge', 'pledge_note') AND status = 'approved'"),
        ),
        Index("application_deductions", "account_id", postgresql_where=text("kind = 'deduction'")),
        Index(
            "one_account_change",
            "account_id",
            unique=True,
            postgresql_where=text("kind = 'account_change' AND status = 'in_review'"),
        ),
        Index(
            "one_opening",
            text("((proposal -> 'uscc'::text) ->> 1)"),
            unique=True,
            postgresql_where=text("kind = 'account_opening' AND status = 'in_review'"),
        ),
        Index(
            "one_notice_decision",
            "account_id",
            text("(proposal ->> 'year'::text)"),
            text("(proposal ->> 'sector'::text)"),
            unique=True,
            postgresql_where=text("kind = 'notice' AND status = 'in_review'"),
        ),
        Index(
            "one_plan_decision",
            text("(proposal ->> 'year'::text)"),
            text("(proposal ->> 'sector'::text)"),
            unique=True,
            postgresql_where=text("kind = 'plan' AND status = 'in_review'"),
        ),
        Index(
            "one_trade_settlement",
            text("(proposal ->> 'package'::text)"),
            unique=True,
            postgresql_where=text(
                "kind = 'trade_settlement' AND status IN ('in_review', 'approved')"
            ),
        ),
        Index(
            "one_resolution",
            text("(proposal ->> 'difference'::text)"),
            unique=True,
            postgresql_where=text(
                "kind = 'difference_resolution' AND status IN ('in_review', 'approved')"
            ),
        ),
        Index(
            "one_bank_resolution",
            text("(proposal ->> 'event'::text)"),
            unique=True,
            postgresql_where=text(
                "kind = 'bank_difference' AND status IN ('in_review', 'approved')"
            ),
        ),
        Index(
            "one_cover_under_review",
            text("(proposal ->> 'default'::text)"),
            unique=True,
            postgresql_where=text("kind = 'default_cover' AND status = 'in_review'"),
        ),
        Index(
            "one_carry_over_round",
            text("(proposal ->> 'year'::text)"),
            unique=True,
            postgresql_where=text("kind = 'carry_over_round' AND status = 'in_review'"),
        ),
        Index(
            "one_carry_over_notices",
            text("(proposal ->> 'year'::text)"),
            unique=True,
            postgresql_where=text("kind = 'carry_over_notices' AND status = 'in_review'"),
        ),
        Index(
            "one_carry_over_batch",
            text("(proposal ->> 'year'::text)"),
            unique=True,
            postgresql_where=text("kind = 'carry_over_batch' AND status = 'in_review'"),
        ),
        Index(
            "application_of_carry_over",
            text("(proposal ->> 'notice'::text)"),
            postgresql_where=text("kind = 'carry_over' AND status IN ('in_review', 'approved')"),
        ),
        Index(
            "one_differentiation",
            "account_id",
            text("(proposal ->> 'year'::text)"),
            unique=True,
            postgresql_where=text(
                "kind IN ('differentiation', 'differentiation_removal') AND status = 'in_review'"
            ),
        ),
        Index(
            "one_commission",
            "notice_id",
            unique=True,
            postgresql_where=text("kind = 'commission' AND status = 'in_review'"),
        ),
        Index(
            "commission_document",
            "document_no",
            unique=True,
            postgresql_where=text("kind = 'commission' AND status IN ('in_review', 'approved')"),
        ),
        Index(
            "penalty_document",
            "account_id",
            "document_no",
            unique=True,
            postgresql_where=text(
                "kind = 'penalty' AND status IN ('in_review', 'approved') AND revoked_by_id IS NULL"
            ),
        ),
        Index(
            "one_revocation",
            text("(proposal ->> 'number'::text)"),
            unique=True,
            postgresql_where=text("kind = 'revocation' AND status IN ('in_review', 'approved')"),
        ),
        Index(
            "one_class_rule",
            text("(proposal ->> 'class'::text)"),
            unique=True,
            postgresql_where=text("kind = 'class_rule' AND status = 'in_review'"),
        ),
        Index(
            "one_succession",
            "account_id",
            unique=True,
            postgresql_where=text("kind = 'account_succession' AND status = 'in_review'"),
        ),
        Index(
            "application_of_notice",
            "notice_id",
            "status",
            postgresql_where=text("notice_id IS NOT NULL"),
        ),
        Index("application_of_kind", "kind", "id"),
        Index(
            "application_unsubmitted",
            "created_by",
            "id",
            postgresql_where=text("status IN ('draft', 'returned')"),
        ),
        Index(
            "application_in_review",
            "kind",
            "step",
            "id",
            postgresql_where=text("status = 'in_review'"),
        ),
        Index(
            "application_pending",
            "settles_on",
            postgresql_where=text("status = 'pending_settlement'"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    number: Mapped[str] = mapped_column(String(30), unique=True)
    kind: Mapped[str] = mapped_column(String(40))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    status: Mapped[str] = mapped_column(String(20), server_default="draft")
    step: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    version: Mapped[int] = mapped_column(Integer, server_default="0")
    reason: Mapped[str] = mapped_column(String(500), server_default="")  # 申请原因
    refusal: Mapped[str] = mapped_column(String(500), server_default="")  # why a rule refused it
    request_key: Mapped[str] = mapped_column(String(80), unique=True)
    form_key: Mapped[str | None] = mapped_column(String(80))  # of the last form that changed it
    created_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    submitted_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    submitted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    settles_on: Mapped[date | None] = mapped_column(
        Date
    )  # the trading day whose day-end settles it
    posting_id: Mapped[int | None] = mapped_column(BigInteger)  # of the last submission, to reverse
    # 撤销决定: the application that took it back; written by `carry_out_revocations`.
    revoked_by_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"))

    # Used by some kinds only (domain/kinds).
    category: Mapped[str] = mapped_column(String(30), server_default="")
    document_no: Mapped[str] = mapped_column(String(100), server_default="")  # 文号
    authority: Mapped[str] = mapped_column(String(200), server_default="")  # 决定机关
    starts_on: Mapped[date | None] = mapped_column(Date)
    ends_on: Mapped[date | None] = mapped_column(Date)
    notice_id: Mapped[int | None] = mapped_column(ForeignKey("notice.id"))
    import_id: Mapped[int | None] = mapped_column(ForeignKey("import_file.id"))
    proposal: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")

    account: Mapped[Account] = relationship()
    parties: Mapped[list[ApplicationParty]] = relationship(order_by="ApplicationParty.account_id")
    notice: Mapped[Notice | None] = relationship()
    lines: Mapped[list[ApplicationLine]] = relationship(
        order_by="ApplicationLine.id", back_populates="application"
    )
    events: Mapped[list[ApplicationEvent]] = relationship(
        order_by="ApplicationEvent.id", back_populates="application"
    )


class ApplicationLine(Model):
    """One instrument of an application, in whole tonnes."""

    __tablename__ = "application_line"
    __table_args__ = (
        CheckConstraint(f"quantity BETWEEN 1 AND {LARGEST_REQUEST}", name="line_quantity_sane"),
        Index(
            "application_line_once",
            "application_id",
            "instrument_id",
            text("coalesce(source_line_id, 0)"),
            text("coalesce(account_id, 0)"),
            unique=True,
        ),
        Index(
            "application_line_source",
            "source_line_id",
            postgresql_where=text("source_line_id IS NOT NULL"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    venue_id: Mapped[int | None] = mapped_column(ForeignKey("venue.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))  # the receiver
    source_line_id: Mapped[int | None] = mapped_column(ForeignKey("application_line.id"))

    application: Mapped[Application] = relationship(back_populates="lines")
    instrument: Mapped[Instrument] = relationship()
    venue: Mapped[Venue | None] = relationship()
    account: Mapped[Account | None] = relationship()
    source: Mapped[ApplicationLine | None] = relationship(remote_side=[id])


class ApplicationParty(Model):
    """A receiving enterprise of an application, and whether it has agreed."""

    __tablename__ = "application_party"
    __table_args__ = (
        Index("application_party_of", "account_id", "application_id"),
        {"extend_existing": True},
    )

    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    agreed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    agreed_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))

    account: Mapped[Account] = relationship()


class ApplicationEvent(Model):
    """An action on an application, with address and comment; append-only."""

    __tablename__ = "application_event"
    __table_args__ = (
        CheckConstraint(f"action IN ({_ACTIONS})", name="action_known"),
        CheckConstraint(f"status IN ({_STATUSES})", name="event_status_known"),
        Index("application_event_of", "application_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"))
    action: Mapped[str] = mapped_column(String(20))
    step: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    status: Mapped[str] = mapped_column(String(20))  # reached by it
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    member_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    member_name: Mapped[str] = mapped_column(String(200), server_default="")
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    comment: Mapped[str] = mapped_column(String(500), server_default="")
    # The writing transaction, set by the database: that of the posting which carries it out.
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )

    application: Mapped[Application] = relationship(back_populates="events")


class UnfinishedForm(Model):
    """The unsaved input of a form, kept for a day so that the page can be shown again.

    Not business data: it has no effect before the form is saved or submitted.
    """

    __tablename__ = "unfinished_form"
    __table_args__ = (Index("unfinished_form_age", "kept_at"), {"extend_existing": True})

    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), primary_key=True)
    request_key: Mapped[str] = mapped_column(String(80), primary_key=True)
    # The form's [name, value] pairs in JSON; they may be personal data.
    content: Mapped[str] = mapped_column(Encrypted("unfinished_form.content"))
    # Of its page, where that has to be found again after signing in.
    address: Mapped[str] = mapped_column(Text, server_default="")
    kept_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
