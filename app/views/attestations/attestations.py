"""证明: the PDF for members in whose scope it is, and the public page that checks a code."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Response, abort, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import lazy_gettext as _

from app.domain.trading_day import BEIJING
from app.extensions import transaction
from app.models.attestation import Attestation
from app.operations.compliance import attestations
from app.operations.records.log import record
from app.security.gate import RateLimit
from app.security.roles import READERS
from app.security.scope import require_scope
from app.views.attestations import drawing
from app.views.page import Page, current_actor

TITLES = {
    attestations.CANCELLATION: _("Certificate of voluntary cancellation"),
    attestations.COMPLIANCE: _("Certificate of compliance"),
}


class AttestationView(Page):
    route_base = "/attestations"
    default_view = "pdf"
    title = _("Certificate of record")
    grants = {READERS: "download"}

    @expose("/<int:id>.pdf")
    @has_access
    @permission_name("download")
    def pdf(self, id: int) -> Response:
        """Send the PDF, the same bytes each time."""
        found = attestations.load(id)
        require_scope(found.account_id, g.user)
        if not attestations.is_vouched(found):
            abort(404)
        content = drawing.draw(found, url_for("VerifyView.check", code=found.code, _external=True))
        name = quote(f"{drawing.TITLES[found.kind]}_{found.number}.pdf")
        with transaction():
            record(
                current_actor(),
                "attestation.download",
                subject=found.number,
                account_id=found.account_id,
            )
        return Response(
            content,
            mimetype="application/pdf",
            headers={
                "Content-Disposition": f"attachment; filename=\"certificate.pdf\"; filename*=UTF-8''{name}"
            },
        )


class VerifyView(Page):
    """证明查验, without signing in."""

    route_base = "/verify"
    default_view = "ask"
    title = _("Verification of a certificate of record")

    @expose("/")
    def ask(self) -> Any:
        """Show the form; a submitted code redirects to its own address."""
        code = request.args.get("code", "").strip()
        if code:
            return redirect(url_for("VerifyView.check", code=code[:64].replace("/", "-")))
        return self.render_template(
            "attestations/verify.html", code="", found=None, is_checked=False
        )

    @expose("/<code>")
    def check(self, code: str) -> Any:
        if not _limit.allows(request.remote_addr or ""):
            abort(429)
        attestation = attestations.find(code)
        is_vouched = attestation is not None and attestations.is_vouched(attestation)
        page = self.render_template(
            "attestations/verify.html",
            code=attestations.shown_code(attestation.code) if attestation else code[:64],
            found=_public_facts(attestation) if attestation and is_vouched else None,
            is_checked=True,
            lacks_seal=attestation is not None and not is_vouched,
        )
        return page, 200 if is_vouched else 404


def _public_facts(attestation: Attestation) -> dict[str, Any]:
    """Return the facts that may be shown to anybody; free text may name persons and is left out."""
    content = attestation.content
    facts: list[tuple[Any, ...]] = [
        (_("Certificate number"), attestation.number, "code"),
        (_("Issued to"), content["name"], "text"),
        (_("Unified social credit code"), content.get("uscc"), "code"),
        (_("Member number"), content["member_no"], "code"),
    ]
    if attestation.kind == attestations.COMPLIANCE:
        facts += [
            (_("Compliance year"), str(content["year"]), "text"),
            (_("Obligation"), content["obligation"], "number", _("tonnes")),
        ]
    total = _("Surrendered in total") if "year" in content else _("Cancelled in total")
    facts += [
        (total, content["total"], "number", _("tonnes")),
        (_("Issued on"), attestation.issued_at.astimezone(BEIJING).date(), "date"),
    ]
    by_commission = sum(each["quantity"] for each in content.get("commissions", ()))
    if by_commission:
        title = _("Of this by commission of the authority")
        facts.append((title, by_commission, "number", _("tonnes")))
    lapsed_on = attestation.lapsed_at and attestation.lapsed_at.astimezone(BEIJING).date()
    if lapsed_on:
        facts.append((_("Lapsed on"), lapsed_on, "date"))
    return {
        "lapsed_on": lapsed_on,
        "title": TITLES[attestation.kind],
        "facts": facts,
        "columns": [
            {"label": _("Instrument code"), "kind": "code"},
            {"label": _("Instrument name"), "kind": "text"},
            {"label": _("Vintage"), "kind": "text"},
            {"label": _("Quantity"), "kind": "number", "unit": _("tonnes")},
        ],
        "rows": [
            [line["code"], line["name"], line["vintage"], line["quantity"]]
            for line in content["lines"]
        ],
    }


# Codes of 78 bits cannot be guessed anyway.
_limit = RateLimit(most=30)
