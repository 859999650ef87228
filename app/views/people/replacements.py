"""证书补办: a member's certificate is replaced, asked for by one officer and confirmed by another."""

from __future__ import annotations

from typing import Any

from flask import abort, request
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.kinds.accounts.account import CertificateReplacement
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.extensions import db
from app.models import Account, Certificate, Member
from app.operations.people import letters
from app.views.applications.form import Choosable, Filled, ProposalForm
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.page import named_in_address

MOST_CERTIFICATES = 20


class CertificateReplacementView(OfficerDesk):
    """证书补办: asked for by one officer, confirmed by another; then both codes go out."""

    route_base = "/certificate-replacements"
    kind = CertificateReplacement.code
    title = _("Certificate replacements")
    menu = MenuEntry(ACCOUNTS, 4)
    guide = {"registry": "证书管理与证书补办"}
    form_title = _("New replacement")
    form = ProposalForm
    new_label = _("Choose a certificate")
    columns = (
        *usual_columns("number", "member_no", "account", "created_at"),
        Column("reason", _("Reason for the application")),
        *usual_columns("status"),
    )
    filters = usual_filters(has_lines=False)
    confirm = _("Once it is confirmed, new codes go to the member. Submit it?")
    help = (
        _("One officer asks for a replacement, another confirms it"),
        _("The reference number goes by mail, the authorisation code by text message"),
        _("The old certificate counts until the new one is fetched; revoke it where it is lost"),
    )

    def offered(self, account_id: int) -> list[Choosable]:
        """There are no lines."""
        return []

    def choose(self) -> Any:
        """Return the page on which the certificate is chosen, or nothing once the address names it."""
        if "certificate" in request.args:
            return None
        asked = (request.args.get("q") or "").strip().replace("\x00", "")[:100]
        return self.render_template(
            "people/choose_certificate.html",
            title=self.form_title,
            asked=asked,
            rows=_certificates_like(asked),
            most=MOST_CERTIFICATES,
            url=lambda row: self.url("new", certificate=row.id),
            cancel_url=self.url("list"),
        )

    def account_id(self) -> int:
        """Return the account of the certificate's holder."""
        return _named_certificate().member.account_id or abort(404)

    def new_form(self, account_id: int) -> Any:
        """Return the form about the certificate that the address names."""
        row = _named_certificate()
        form = self.form()
        form.proposal = {"member_no": row.member.username, "certificate": row.serial.upper()}
        return form

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Name the enterprise."""
        account = db.session.get_one(Account, account_id)
        return [
            (_("Member number"), account.member_no, "code"),
            (_("Member name"), account.name, "text"),
        ]

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the reason and whose certificate it is.  Raises RuleError where no letter can go."""
        member_no = filled.form.proposal.get("member_no", "")
        member = db.session.scalars(
            select(Member).where(Member.username == member_no)
        ).one_or_none()
        if member is not None:
            letters.reach_of(member)
        return super().content(filled)


def _certificates_like(asked: str) -> Any:
    """Return the latest certificates of enterprises' members by number or name."""
    statement = (
        select(
            Certificate.id,
            Member.username.label("member_no"),
            Member.first_name.label("name"),
            Certificate.serial,
        )
        .join(Member, Member.id == Certificate.member_id)
        .where(Member.account_id.is_not(None))
        .order_by(Certificate.id.desc())
    )
    if asked:
        statement = statement.where(
            Member.username.startswith(asked, autoescape=True)
            | Member.first_name.contains(asked, autoescape=True)
        )
    return db.session.execute(statement.limit(MOST_CERTIFICATES)).all()


def _named_certificate() -> Certificate:
    """Return the certificate that the address names, of an enterprise's member; or answer 404."""
    row = db.session.get(Certificate, named_in_address("certificate", digits=18))
    if row is None or row.member.account_id in (None, ISSUANCE_ACCOUNT_ID):
        abort(404)
    return row
