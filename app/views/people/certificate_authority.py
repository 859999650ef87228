"""The public addresses of the registry's authority: certificates, revocation list, OCSP."""

from __future__ import annotations

from flask import Response, abort, request
from flask_appbuilder import expose
from flask_babel import lazy_gettext as _

from app.operations.people import certificates
from app.pki.errors import PkiError
from app.views.page import Page

LARGEST_QUESTION = 8 * 1024


class AuthorityView(Page):
    """For programs; no session, read-only."""

    route_base = "/ca"
    default_view = "crl"
    title = _("Certification authority")

    @expose("/issuing.crl")
    def crl(self) -> Response:
        found = certificates.latest_crl()
        return Response(found.der, mimetype="application/pkix-crl")

    @expose("/issuing.pem")
    def chain(self) -> Response:
        """Send the issuing authority's certificate and the root's."""
        try:
            found = certificates.the_authority().chain()
        except PkiError:
            abort(404)
        return Response(found, mimetype="application/x-pem-file")

    @expose("/ocsp", methods=["POST"])
    def ocsp(self) -> Response:
        """Answer an OCSP request (RFC 6960, by POST)."""
        if request.mimetype != "application/ocsp-request":
            abort(415)
        if (request.content_length or 0) > LARGEST_QUESTION:
            abort(413)
        try:
            answer = certificates.answer_ocsp(request.get_data())
        except PkiError:
            answer = TRY_LATER
        return Response(answer, mimetype="application/ocsp-response")


TRY_LATER = bytes.fromhex("30030a0103")  # OCSPResponse { tryLater }
