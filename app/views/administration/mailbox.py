"""演示信箱: mails and text messages of the demonstration; not in production."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.extensions import db
from app.models import MailboxMessage
from app.operations.records import clock
from app.security.roles import ALL_ROLES
from app.views.chapters import LAST, MenuEntry
from app.views.lists.listing import Column, Filter, ListPage, RowAction, back_url

CHANNELS = {"mail": (_("Mail"), "blue"), "sms": (_("Text message"), "green")}


class MailboxView(ListPage):
    """演示信箱: messages delivered here instead of being sent."""

    route_base = "/demo/mailbox"
    title = _("Demo mailbox")
    menu = MenuEntry(LAST, 2, "ti-mailbox")
    guide = {
        "enterprise": "任务与信箱",
        "province": "任务与信箱",
        "registry": "任务与信箱",
        "administration": "我的任务与演示信箱",
    }
    grants = {ALL_ROLES: "list export show"}
    profiles = ("demo", "test")  # Real messages are private.
    account_column = None  # For everybody: a new member has to find the first letter.
    columns = (
        Column("received_at", _("Received at"), "datetime"),
        Column("channel", _("Sent by"), "status", choices=CHANNELS),
        Column("recipient", _("Recipient"), "code"),
        Column("subject", _("Subject")),
    )
    filters = (
        Filter("channel", _("Sent by"), "choice", choices={k: v[0] for k, v in CHANNELS.items()}),
        Filter("recipient", _("Recipient"), "prefix"),
        Filter("received", _("Received on"), "date_range", on=("received_at",)),
    )
    help = (
        _("The demonstration sends nothing out: what people would receive arrives here."),
        _("In a real registry there is no such page, and secret messages are not kept."),
    )

    def rows(self, conditions: Any) -> Select:
        return select(
            MailboxMessage.id,
            clock.shown(MailboxMessage.received_at).label("received_at"),
            MailboxMessage.channel,
            MailboxMessage.recipient,
            MailboxMessage.subject,
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Read"), url_for("MailboxView.show", message_id=row.id))

    @expose("/<int:message_id>")
    @has_access
    @permission_name("show")
    def show(self, message_id: int) -> Any:
        message = db.session.get(MailboxMessage, message_id) or abort(404)
        label, tone = CHANNELS[message.channel]
        detail = {
            "title": message.subject or str(label),
            "status": {"label": str(label), "tone": tone},
            "sections": [
                {
                    "items": [
                        (gettext("Recipient"), message.recipient, "code"),
                        (gettext("Received at"), clock.shown(message.received_at), "datetime"),
                    ]
                },
            ],
            "back_url": back_url(url_for("MailboxView.list")),
        }
        return self.render_template(
            "administration/message.html",
            detail=detail,
            body=message.body,
            crumb=gettext("Message"),
        )
