"""Signing: what a member submits or decides is shown once more and signed with its own key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import abort, current_app, flash, g, redirect, render_template, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.errors import RuleError
from app.domain.kinds import KINDS
from app.domain.workflow import Case
from app.extensions import db, transaction
from app.models import Application
from app.operations.applications import engine, evidence, jobs
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.pki.canonical import parse
from app.pki.errors import PkiError, SignatureRefused
from app.security import certificates
from app.security.roles import READERS
from app.views.lists.listing import JOB_FROM
from app.views.page import Page


def is_asked() -> bool:
    """Tell whether submissions and reviews are signed: wherever a certificate is asked for."""
    return bool(current_app.config["CERT_LOGIN"] != "off")


def ask_for_submission(application_id: int, actor: Actor) -> Any:
    """Send the applicant to the page where the submission is signed."""
    return _ask(evidence.submission(evidence.contents([application_id]), actor))


def ask_for_submissions(ids: Sequence[int], actor: Actor) -> Any:
    """Send the officer to the page where the submission of all of them is signed, once."""
    return _ask(evidence.submissions(evidence.contents(ids), actor))


def ask_for_review(ids: Sequence[int], decision: str, comment: str, actor: Actor) -> Any:
    """Send the reviewer to the page where the decision on all of them is signed, once."""
    return _ask(evidence.review(evidence.contents(ids), decision, comment, actor))


def _ask(payload: dict[str, Any]) -> Any:
    with transaction():
        challenge = certificates.ask(g.user.id, "sign", payload)
    return redirect(url_for("SigningView.show", challenge=challenge))


class SigningView(Page):
    """One page for everything that is signed."""

    route_base = "/signing"
    default_view = "show"
    title = _("Signing")
    guide = {"enterprise": "签名", "province": "履约清缴的审核", "registry": "审核"}
    grants = {READERS: "sign"}

    @expose("/<challenge>")
    @has_access
    @permission_name("sign")
    def show(self, challenge: str) -> Any:
        """Show what waits to be signed, and the button that opens the assistant."""
        waits = certificates.waiting(challenge, "sign")
        # A renewal is signed where it began, on a page of its own.
        if waits is None or waits.member_id != g.user.id or waits.payload["schema"] not in _ACTS:
            flash(gettext("What was to be signed has lapsed; please submit it again"), "warning")
            return redirect(url_for("HomeView.index"))
        payload = waits.payload
        purpose = "review" if payload["schema"] == evidence.REVIEW else "submit"
        g.crumb = gettext("Sign")
        return self.render_template(
            "applications/signing.html",
            is_review=purpose == "review",
            kinds=KINDS,
            payload=payload,
            step={"type": purpose, "challenge": challenge, "payload": payload},
            seconds=waits.seconds,
            action=url_for("SigningView.sign", challenge=challenge),
            back_url=_imported(payload) or url_for("HomeView.index"),
        )

    @expose("/<challenge>", methods=["POST"])
    @has_access
    @permission_name("sign")
    def sign(self, challenge: str) -> Any:
        """Take the signature and do what was signed, both or neither."""
        content, cms = _sent("content"), _sent("cms")
        try:
            taken = certificates.take(challenge, "sign")
            payload = parse(taken.payload)
            if taken.member_id != g.user.id or payload["schema"] not in _ACTS:
                raise SignatureRefused("challenge")
            return _ACTS[payload["schema"]](payload, taken, content, cms)
        except PkiError as error:
            flash(certificates.reason_of(error), "danger")
        except RuleError as error:
            flash(str(error), "danger")
        return redirect(url_for("HomeView.index"))


def _sent(name: str) -> bytes:
    try:
        return base64.b64decode(request.form.get(name, ""), validate=True)
    except (binascii.Error, ValueError):
        abort(400)


def _actor() -> Actor:
    return Actor.of(g.user, request.remote_addr or "")


def _submit(payload: dict[str, Any], taken: certificates.Taken, content: bytes, cms: bytes) -> Any:
    """提交: the rows are locked, put together anew, compared with what was signed, then submitted."""
    actor = _actor()
    (id_,) = _ids([payload["application"]["number"]])
    with transaction():
        engine.hold([id_], actor)
        found = evidence.contents([id_])
        expected = evidence.submission(found, actor)
        signature = _verified("submit", expected, taken, content, cms)
        case = engine.submit([id_], actor, now=clock.now()).one()
        evidence.cover(signature, found, [id_], actor)
    return redirect(url_for(f"{_desk_of(case.kind)}.done", id=id_))


def _submit_all(
    payload: dict[str, Any], taken: certificates.Taken, content: bytes, cms: bytes
) -> Any:
    """提交 of all that the manifest names, or of none; one signature covers every event."""
    actor = _actor()
    ids = _ids([item["number"] for item in payload["items"]])
    back = _imported(payload) or url_for(f"{_desk_of(payload['kind'])}.list")
    try:
        with transaction():
            engine.hold(ids, actor)
            found = evidence.contents(ids)
            expected = evidence.submissions(found, actor)
            signature = _verified("submit", expected, taken, content, cms)
            engine.submit_all(ids, actor, now=clock.now())
            evidence.cover(signature, found, ids, actor)
    except engine.NoneSubmitted as error:
        return none_submitted(error, back)
    if _imported(payload):
        return redirect(back)
    return result_of(len(ids), [], back)


def _desk_of(kind: str) -> str:
    """Return the endpoint of the desk where applications of a kind are started."""
    views = current_app.appbuilder.baseviews  # type: ignore[attr-defined]
    return next(
        view.endpoint
        for view in views
        if getattr(view, "kind", "") == kind and hasattr(view, "done")
    )


def _review(payload: dict[str, Any], taken: certificates.Taken, content: bytes, cms: bytes) -> Any:
    """通过 or 退回 on all that the manifest names; one signature covers every event."""
    actor = _actor()
    ids = _ids([item["number"] for item in payload["items"]])
    decision, comment = payload["decision"], payload["comment"]
    with transaction():
        if len(ids) <= JOB_FROM:
            engine.hold(ids, actor)
        found = evidence.contents(ids)
        expected = evidence.review(found, decision, comment, actor)
        signature = _verified("review", expected, taken, content, cms)
        if len(ids) > JOB_FROM:
            return redirect(url_for("JobView.show", job_id=_job(ids, payload, signature, actor)))
        verb = engine.approve if decision == "approve" else engine.send_back
        outcome = verb(ids, actor, now=clock.now(), comment=comment)
        evidence.cover(signature, found, [case.id for case in outcome.done], actor)
    return result_of(len(outcome.done), outcome.refused, url_for("ReviewView.list"))


def result_of(done: int, refused: Sequence[tuple[Case, RuleError]], back_url: str) -> Any:
    """Say how many were done, and what stood against the others."""
    failures = [
        {"number": case.number, "label": "", "reason": str(error)} for case, error in refused
    ]
    bulk = {"done": done, "failed": len(failures), "failures": failures}
    return render_template("parts/result.html", result={"bulk": bulk, "back_url": back_url})


def none_submitted(error: engine.NoneSubmitted, back_url: str) -> Any:
    """Say what stood against those that were to be submitted together."""
    flash(str(error), "danger")
    return result_of(0, error.refused, back_url)


def _imported(payload: dict[str, Any]) -> str:
    """Return the page of the one import that a manifest is about, or nothing."""
    files = payload.get("files", ())
    if len(files) != 1:
        return ""
    return url_for(f"{_desk_of(payload['kind'])}.imported", import_id=int(files[0]["batch"]))


def _job(ids: list[int], payload: dict[str, Any], signature: int, actor: Actor) -> int:
    arguments = {
        "action": payload["decision"],
        "ids": ids,
        "comment": payload["comment"],
        "signature": signature,
    }
    return jobs.start(
        "review",
        arguments,
        actor,
        total=len(ids),
        now=clock.now(),
        title=gettext("Review of applications"),
    )


def _verified(
    purpose: str, expected: Any, taken: certificates.Taken, content: bytes, cms: bytes
) -> int:
    certificate = certificates.verify_signed(
        content,
        cms,
        member_id=g.user.id,
        purpose=purpose,
        expected_payload=expected,
        taken=taken,
    )
    signed_at = datetime.fromisoformat(parse(content)["at"])
    return evidence.keep(certificate, content, cms, purpose=purpose, signed_at=signed_at)


def _ids(numbers: Sequence[str]) -> list[int]:
    found = db.session.scalars(select(Application.id).where(Application.number.in_(numbers)))
    return sorted(found)


_ACTS = {
    evidence.SUBMISSION: _submit,
    evidence.SUBMISSIONS: _submit_all,
    evidence.REVIEW: _review,
}
