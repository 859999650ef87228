"""Signing: a submission, decision or act is shown again and signed with the member's key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
from app.domain.workflow import EDITABLE, Case, Status
from app.extensions import db, transaction, undone
from app.models import Application, Certificate, Job
from app.operations.applications import deciding, engine, evidence, jobs
from app.operations.people import deeds, signatures
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.pki.canonical import one_line, parse
from app.pki.enrolments import DEED
from app.pki.errors import PkiError, SignatureRefused
from app.security import certificates
from app.security.roles import ALL_ROLES
from app.security.scope import scoped_applications
from app.views.applications.list import last_event_text
from app.views.applications.proposals import proposal_table
from app.views.lists.listing import JOB_FROM, back_url
from app.views.page import Page, carried_out, current_actor

ACT = DEED
# What is signed, by the schema of its payload.
PURPOSES = {
    evidence.SUBMISSION: "submit",
    evidence.SUBMISSIONS: "submit",
    evidence.REVIEW: "review",
    evidence.WITHDRAWAL: "withdraw",
    ACT: "act",
}
is_required = signatures.is_required


def ask_for_submission(application_id: int, actor: Actor) -> Any:
    """Redirect to the page where the submission is signed."""
    payload = evidence.submission(evidence.contents([application_id]), actor)
    back = url_for(f"{_desk_of(payload['application']['kind'])}.show", id=application_id)
    return _ask(payload, back, of=application_id)


def ask_for_submissions(ids: Sequence[int], actor: Actor) -> Any:
    """Redirect to the page where the submission of all of them is signed once."""
    payload = evidence.submissions(evidence.contents(ids), actor)
    return _ask(payload, _import_page(payload) or url_for(f"{_desk_of(payload['kind'])}.list"))


def ask_for_review(ids: Sequence[int], decision: str, comment: str, actor: Actor) -> Any:
    """Redirect to the page where the decision on all of them is signed once.

    Raises RuleError for the comment.
    """
    comment = deciding.checked_comment(decision, comment)
    back = url_for("ReviewView.list")
    if len(ids) == 1:
        back = url_for("ReviewView.show", id=ids[0])
    return _ask(evidence.review(evidence.contents(ids), decision, comment, actor), back)


def ask_for_withdrawal(ids: Sequence[int], actor: Actor, back: str) -> Any:
    """Redirect to the page where the withdrawal of all of them is signed once."""
    payload = evidence.withdrawal(evidence.contents(ids), actor)
    return _ask(payload, back, of=ids[0] if len(ids) == 1 else None)


def carry_out(
    page: Page, name: str, values: Mapping[str, Any], form: Any, usual: str, back: str
) -> Any:
    """Carry out a page's signed act (`Page.signed_acts`) from its form, or ask for the signature.

    What would be refused is not signed in vain.  Returns the response, or None where a rule
    refuses: the message is put at its field of the form, or at the ``usual`` one.
    """
    return carried_out(form, lambda: at_once(page, name, values, back), usual)


def at_once(page: Page, name: str, values: Mapping[str, Any], back: str) -> Any:
    """Carry out a page's signed act, or try it and ask for the signature.  Raises RuleError."""
    actor, is_signed = current_actor(), is_required()
    with transaction(), undone() if is_signed else nullcontext():
        said = page.signed_acts[name].carry_out(values, actor, None)
    return ask_for_act(name, values, actor, back) if is_signed else _told(said, back)


def ask_for_act(name: str, values: Mapping[str, Any], actor: Actor, back: str) -> Any:
    """Redirect to the page where an act is signed with its values."""
    plain = {key: one_line(text) if isinstance(text, str) else text for key, text in values.items()}
    return _ask(deeds.payload(name, actor, plain), back)


def _ask(payload: dict[str, Any], back: str, of: int | None = None) -> Any:
    """Create the challenge; parameter ``of`` is the application to report on once it is used."""
    with transaction():
        challenge = certificates.ask(g.user.id, "sign", payload)
    return redirect(url_for("SigningView.show", challenge=challenge, of=of, back=back))


class SigningView(Page):
    route_base = "/signing"
    default_view = "show"
    title = _("Signing")
    guide = {
        "enterprise": "签名",
        "province": "履约清缴的审核",
        "registry": "审核",
        "administration": "系统参数与参数变更记录",
    }
    grants = {ALL_ROLES: "sign"}
    keeps_input = False  # A signature is of one moment.

    @expose("/<challenge>")
    @has_access
    @permission_name("sign")
    def show(self, challenge: str) -> Any:
        waits = _waiting(challenge)
        if waits is None:
            return _already_signed()
        payload = waits.payload
        purpose = PURPOSES[payload["schema"]]
        return self.render_template(
            "applications/signing.html",
            crumb=gettext("Sign"),
            purpose=purpose,
            kinds=KINDS,
            facts=_facts(payload) if purpose == "act" else (),
            payload=payload,
            terms=_terms(payload),
            step={"type": purpose, "challenge": challenge, "payload": payload},
            seconds=waits.seconds,
            action=self.url(
                "sign",
                challenge=challenge,
                of=request.args.get("of"),
                back=request.args.get("back"),
            ),
            back_url=_return_url(),
            unsigned=_unsigned_hint(payload),
        )

    @expose("/<challenge>", methods=["POST"])
    @has_access
    @permission_name("sign")
    def sign(self, challenge: str) -> Any:
        """Verify the signature and carry out what was signed, in one transaction."""
        content, cms = _decoded("content"), _decoded("cms")
        try:
            taken = certificates.take(challenge, "sign")
            payload = parse(taken.payload)
            if taken.member_id != g.user.id or payload["schema"] not in _ACTS:
                raise SignatureRefused("challenge")
            return _ACTS[payload["schema"]](payload, taken, content, cms)
        except PkiError as error:
            if error.code == "no_challenge":
                return _already_signed()
            flash(certificates.reason_of(error), "danger")
        except RuleError as error:
            flash(str(error), "danger")
        return redirect(_return_url())


def _waiting(challenge: str) -> certificates.PendingChallenge | None:
    """Return what waits for the member's signature; a renewal is signed on a page of its own."""
    waits = certificates.waiting(challenge, "sign")
    is_here = waits and waits.member_id == g.user.id and waits.payload["schema"] in _ACTS
    return waits if is_here else None


def _return_url() -> str:
    return back_url(url_for("HomeView.index"))


def _already_signed() -> Any:
    """Report on an application whose challenge is used or expired."""
    id_ = request.args.get("of", 0, type=int)
    mine = scoped_applications(
        select(Application).where(Application.id == id_),
        Application.id,
        Application.account_id,
        g.user,
    )
    application = db.session.scalar(mine) if 0 < id_ < 2**63 else None
    if application is None or application.status in EDITABLE:
        flash(
            gettext("There is nothing left to sign here: it was signed, or its time is over"),
            "warning",
        )
        return redirect(_return_url())
    flash(last_event_text(application), "info")
    is_there = application.status != Status.DISCARDED
    return redirect(_return_url() if is_there else url_for("HomeView.index"))


def _terms(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Return what is proposed besides lines, as a table."""
    signed = payload.get("application", {})
    said = signed.get("terms") or {key: signed[key] for key in ("also_for",) if key in signed}
    return proposal_table(signed.get("kind", ""), said)


def _unsigned_hint(payload: dict[str, Any]) -> str:
    """Say where the application is found if it is not signed now."""
    unsigned = {
        evidence.REVIEW: gettext("Unsigned, nothing is decided; the review list keeps what waits"),
        evidence.WITHDRAWAL: gettext("Unsigned, nothing is withdrawn"),
        ACT: gettext("Unsigned, nothing is changed"),
    }
    if payload["schema"] in unsigned:
        return unsigned[payload["schema"]]
    kind = payload["application"]["kind"] if "application" in payload else payload["kind"]
    page = str(_view_of(kind).title)
    if "application" not in payload:
        return gettext(
            "Unsigned, nothing is submitted; the %(count)s applications stay in the list “%(page)s”",
            count=payload["count"],
            page=page,
        )
    return gettext(
        "Unsigned, application %(number)s is saved and not submitted; it stays in the list “%(page)s”",
        number=payload["application"]["number"],
        page=page,
    )


def _decoded(name: str) -> bytes:
    try:
        return base64.b64decode(request.form.get(name, ""), validate=True)
    except (binascii.Error, ValueError):
        abort(400)


def _submit(
    payload: dict[str, Any], taken: certificates.UsedChallenge, content: bytes, cms: bytes
) -> Any:
    """提交: the rows are locked, put together anew, compared with what was signed, then submitted."""
    actor = current_actor()
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
    payload: dict[str, Any], taken: certificates.UsedChallenge, content: bytes, cms: bytes
) -> Any:
    """提交 of everything in the manifest, or of nothing; one signature covers every event.

    Many are submitted by a job.
    """
    actor = current_actor()
    ids = _ids([item["number"] for item in payload["items"]])
    back = _import_page(payload) or url_for(f"{_desk_of(payload['kind'])}.list")
    if len(ids) > JOB_FROM:
        return _submit_by_job(ids, payload, taken, content, cms)
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
    if _import_page(payload):
        flash(gettext("%(count)s applications were submitted", count=len(ids)), "success")
        return redirect(back)
    return result_of(len(ids), [], back)


def _submit_by_job(
    ids: list[int],
    payload: dict[str, Any],
    taken: certificates.UsedChallenge,
    content: bytes,
    cms: bytes,
) -> Any:
    """Verify the signature, and have a job submit all or none."""
    actor, batch = current_actor(), _import_of(payload)
    job = jobs.open_submission(batch)
    if job is not None:
        return being_submitted(job, _import_page(payload))
    with transaction():
        expected = evidence.submissions(evidence.contents(ids), actor)
        certificate = _verify("submit", expected, taken, content, cms)
        arguments = {
            "ids": ids,
            "content": base64.b64encode(content).decode(),
            "cms": base64.b64encode(cms).decode(),
            "certificate": certificate.id,
            "view": _desk_of(payload["kind"]),
            "import_id": batch,
        }
        job_id = jobs.start(jobs.SUBMISSION, arguments, actor, total=len(ids), now=clock.now())
    return redirect(url_for("JobView.show", job_id=job_id))


def being_submitted(job: Job, page: str) -> Any:
    """Lead to the job that submits a batch, or where it is another member's say whose."""
    if job.member_id == g.user.id:
        return redirect(url_for("JobView.show", job_id=job.id))
    number = job.member.username
    flash(gettext("%(number)s is submitting this import already", number=number), "info")
    return redirect(page)


def _desk_of(kind: str) -> str:
    """Return the endpoint of the desk of a kind."""
    return str(_view_of(kind).endpoint)


def _view_of(kind: str) -> Any:
    views = current_app.extensions["pages"].values()
    return next(
        view for view in views if getattr(view, "kind", "") == kind and hasattr(view, "done")
    )


def _review(
    payload: dict[str, Any], taken: certificates.UsedChallenge, content: bytes, cms: bytes
) -> Any:
    """通过 or 退回 on all that the manifest names; one signature covers every event."""
    actor = current_actor()
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
        outcome = deciding.decide(
            ids, decision, actor, now=clock.now(), comment=comment, signature=signature
        )
    return result_of(len(outcome.done), outcome.refused, url_for("ReviewView.list"))


def _withdraw(
    payload: dict[str, Any], taken: certificates.UsedChallenge, content: bytes, cms: bytes
) -> Any:
    """撤回 of everything in the manifest, or of nothing."""
    actor = current_actor()
    ids = _ids([item["number"] for item in payload["items"]])
    with transaction():
        engine.hold(ids, actor)
        found = evidence.contents(ids)
        expected = evidence.withdrawal(found, actor)
        signature = _verified("withdraw", expected, taken, content, cms)
        outcome = engine.withdraw(ids, actor, now=clock.now())
        for _case, error in outcome.refused:
            raise error
        evidence.cover(signature, found, ids, actor)
    numbers = [item["number"] for item in payload["items"]]
    said = (
        gettext("Application %(number)s was withdrawn", number=numbers[0])
        if len(numbers) == 1
        else gettext("%(count)s applications were withdrawn", count=len(numbers))
    )
    return _told(said, _return_url())


def _act(
    payload: dict[str, Any], taken: certificates.UsedChallenge, content: bytes, cms: bytes
) -> Any:
    """An act of a page, with the values that were signed."""
    page = _page_of(payload["act"])
    act = page.signed_acts[payload["act"]]
    if not page.may(act.permission):
        abort(403)
    with transaction():
        signature = _verified("act", payload, taken, content, cms)
        said = act.carry_out(payload["values"], current_actor(), signature)
    return _told(said, _return_url())


def _page_of(name: str) -> Page:
    """Return the page that declares an act."""
    pages: dict[str, Page] = current_app.extensions["pages"]
    return next(page for page in pages.values() if name in getattr(page, "signed_acts", ()))


def _facts(payload: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what an act sets, as facts of the signing page."""
    act = _page_of(payload["act"]).signed_acts[payload["act"]]
    facts = [(_("Act"), str(act.title), "text")]
    return facts + [(str(label), text, "text") for label, text in act.shown(payload["values"])]


def _told(said: str, back: str) -> Any:
    flash(said, "success")
    return redirect(back)


def result_of(done: int, refused: Sequence[tuple[Case, RuleError]], back_url: str) -> Any:
    """Report how many were done, and the refusals."""
    failures = [
        {"number": case.number, "label": "", "reason": str(error)} for case, error in refused
    ]
    bulk = {"done": done, "failed": len(failures), "failures": failures}
    return render_template("parts/result.html", result={"bulk": bulk, "back_url": back_url})


def none_submitted(error: engine.NoneSubmitted, back_url: str) -> Any:
    """Report why a batch was not submitted."""
    flash(str(error), "danger")
    return result_of(0, error.refused, back_url)


def _import_of(payload: dict[str, Any]) -> int | None:
    """Return the single import in a manifest, or None."""
    files = payload.get("files", ())
    return int(files[0]["batch"]) if len(files) == 1 else None


def _import_page(payload: dict[str, Any]) -> str:
    """Return the page of the single import in a manifest, or nothing."""
    batch = _import_of(payload)
    return url_for(f"{_desk_of(payload['kind'])}.imported", import_id=batch) if batch else ""


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
    purpose: str, expected: Any, taken: certificates.UsedChallenge, content: bytes, cms: bytes
) -> int:
    """Verify a signature, and keep it; return its id."""
    certificate = _verify(purpose, expected, taken, content, cms)
    signed_at = datetime.fromisoformat(parse(content)["at"])
    return evidence.keep(certificate, content, cms, purpose=purpose, signed_at=signed_at)


def _verify(
    purpose: str, expected: Any, taken: certificates.UsedChallenge, content: bytes, cms: bytes
) -> Certificate:
    return certificates.verify_signed(
        content,
        cms,
        member_id=g.user.id,
        purpose=purpose,
        expected_payload=expected,
        taken=taken,
    )


def _ids(numbers: Sequence[str]) -> list[int]:
    found = db.session.scalars(select(Application.id).where(Application.number.in_(numbers)))
    return sorted(found)


_ACTS = {
    evidence.SUBMISSION: _submit,
    evidence.SUBMISSIONS: _submit_all,
    evidence.REVIEW: _review,
    evidence.WITHDRAWAL: _withdraw,
    ACT: _act,
}
