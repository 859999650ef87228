"""What receivers see of an application, and the state of their agreements."""

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


def is_receiver(application: Application) -> bool:
    """Tell whether the member sees it as a receiver, not as applicant or officer."""
    own = g.user.account_id
    return own is not None and own != application.account_id


def lines_shown(own: int | None) -> ColumnElement[bool] | None:
    """Return the condition for the lines that people of an account may see; None for all.

    A receiver sees its own lines alone (docs/adr/0037); officers have no account.
    """
    if own is None:
        return None
    return or_(
        Application.account_id == own,
        ApplicationLine.account_id.is_(None),
        ApplicationLine.account_id == own,
    )


def lines_of(application: Application) -> Sequence[ApplicationLine]:
    """Return the lines that the member may see."""
    if not is_receiver(application):
        return application.lines
    return [line for line in application.lines if line.account_id in (None, g.user.account_id)]


def events_of(application: Application) -> Sequence[tuple[ApplicationEvent, bool]]:
    """Return the events, and whether the member may see addresses and comments.

    A receiver sees neither drafts nor comments of others, which may mention their shares.
    """
    if not is_receiver(application):
        return [(event, True) for event in application.events]
    return [
        (event, event.member_id == g.user.id)
        for event in application.events
        if event.action != Action.SAVE
    ]


def agreements(application: Application, quantity_title: Any) -> dict[str, Any]:
    """Return the table of receivers with their quantities and agreements."""
    parties = {party.account_id: party for party in application.parties}
    shown = {line.id for line in lines_of(application)}
    accounts = {line.account_id: line.account for line in application.lines if line.account}
    # Receivers that no line names are asked about all of them.
    accounts = accounts or {id_: party.account for id_, party in parties.items()}
    rows = []
    for id_, account in accounts.items():
        lines = [line for line in application.lines if line.account_id in (None, id_)]
        agreed_at = parties[id_].agreed_at if id_ in parties else None
        rows.append(
            [
                account.member_no,
                account.name,
                sum(line.quantity for line in lines) if lines[0].id in shown else None,
                dict(
                    zip(("label", "tone"), _agreement_status(application, agreed_at), strict=True)
                ),
                agreed_at,
            ]
        )
    return {
        "title": _("Receiving enterprises"),
        "columns": [
            {"label": _("Member number"), "kind": "code"},
            {"label": _("Receiving enterprise"), "kind": "text"},
            {"label": quantity_title, "kind": "number", "unit": _("tonnes")},
            {"label": _("Review"), "kind": "status"},
            {"label": _("Agreed at"), "kind": "datetime"},
        ],
        "rows": sorted(rows, key=lambda row: row[0]),
    }


def _agreement_status(application: Application, agreed_at: Any) -> tuple[Any, str]:
    status = Status(application.status)
    if agreed_at is not None:
        return _LAPSED if status is Status.RETURNED else _AGREED
    if status is Status.IN_REVIEW:
        return _WAITED_FOR
    return STATUS_TITLES[status], STATUS_TONES[status]
