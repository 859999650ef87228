"""What the receivers of an application see of it, and how far their agreement has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import g
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, or_

from app.domain.workflow import STATUS_TITLES, STATUS_TONES, Action, Status
from app.models import Application, ApplicationEvent, ApplicationLine

_AGREED = (_("Agreed"), "green")
_WAITED_FOR = (_("Waited for"), "amber")
_LAPSED = (_("Agreed; asked anew once it is submitted again"), "grey")


def asks_member(application: Application) -> bool:
    """Tell whether the member looks at it as a receiver, not as the applicant or an officer."""
    own = g.user.account_id
    return own is not None and own != application.account_id


def lines_shown() -> ColumnElement[bool] | None:
    """Return the condition for the lines that concern the member; None where all of them do.

    A receiver is shown its own lines: what the others get is theirs (docs/adr/0037).
    """
    own = g.user.account_id
    if own is None:
        return None
    return or_(
        Application.account_id == own,
        ApplicationLine.account_id.is_(None),
        ApplicationLine.account_id == own,
    )


def lines_of(application: Application) -> Sequence[ApplicationLine]:
    """Return the lines of an application that concern the member."""
    if not asks_member(application):
        return application.lines
    return [line for line in application.lines if line.account_id in (None, g.user.account_id)]


def events_of(application: Application) -> Sequence[tuple[ApplicationEvent, bool]]:
    """Return what was done, and whether the member may know from where and with which words.

    A receiver is shown neither the applicant's drafts nor what others wrote: their shares may stand
    in it.
    """
    if not asks_member(application):
        return [(event, True) for event in application.events]
    return [
        (event, event.member_id == g.user.id)
        for event in application.events
        if event.action != Action.SAVE
    ]


def agreements(application: Application) -> dict[str, Any]:
    """Return the table of receivers: what each gets, who has agreed and who is waited for."""
    parties = {party.account_id: party for party in application.parties}
    shown = {line.id for line in lines_of(application)}
    accounts = {line.account_id: line.account for line in application.lines if line.account}
    rows = []
    for id_, account in accounts.items():
        lines = [line for line in application.lines if line.account_id == id_]
        agreed_at = parties[id_].agreed_at if id_ in parties else None
        rows.append(
            [
                account.member_no,
                account.name,
                sum(line.quantity for line in lines) if lines[0].id in shown else None,
                dict(zip(("label", "tone"), _standing(application, agreed_at), strict=True)),
                agreed_at,
            ]
        )
    return {
        "title": _("Receiving enterprises"),
        "columns": [
            {"label": _("Member number"), "kind": "code"},
            {"label": _("Receiving enterprise"), "kind": "text"},
            {"label": _("Quantity to return"), "kind": "number", "unit": _("tonnes")},
            {"label": _("Review"), "kind": "status"},
            {"label": _("Agreed at"), "kind": "datetime"},
        ],
        "rows": sorted(rows, key=lambda row: row[0]),
    }


def _standing(application: Application, agreed_at: Any) -> tuple[Any, str]:
    status = Status(application.status)
    if agreed_at is not None:
        return _LAPSED if status is Status.RETURNED else _AGREED
    if status is Status.IN_REVIEW:
        return _WAITED_FOR
    return STATUS_TITLES[status], STATUS_TONES[status]
