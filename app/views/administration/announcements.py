"""通知公告: members read them, the registry's officers write and publish them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from markupsafe import Markup, escape
from sqlalchemy import Select, case, func, literal, select
from sqlalchemy.orm import aliased
from wtforms import BooleanField, HiddenField, SelectField

from app.domain.regions import PROVINCES
from app.extensions import db, transaction
from app.models import Announcement, AnnouncementReading, Member
from app.models.announcement import (
    AUTHORITIES,
    ENTERPRISES,
    EVERYBODY,
    LONGEST_TEXT,
    LONGEST_TITLE,
    PUBLIC,
    is_addressed_to,
    is_out,
)
from app.operations.records import announcements, clock
from app.operations.records.announcements import Content
from app.security.roles import ALL_ROLES, OFFICERS, REGISTRY_CHECKER, REGISTRY_MAKER
from app.views.applications.form import Required, choices_of
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import FIRST, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import PageForm, carried_out, current_actor

AUDIENCES = {
    EVERYBODY: _("Everybody"),
    ENTERPRISES: _("Emitting enterprises"),
    AUTHORITIES: _("Provincial authorities"),
    PUBLIC: _("Everybody, and the public without sign-in"),
}
EVERYWHERE = "all"
PLACES = {EVERYWHERE: _("The whole country"), **PROVINCES}
READ, UNREAD = "read", "unread"
READING_STATES = {UNREAD: (_("Unread"), "red"), READ: (_("Read already"), "grey")}
DRAFT, PUBLISHED, WITHDRAWN = "draft", "published", "withdrawn"
STATES = {
    DRAFT: (_("Draft"), "grey"),
    PUBLISHED: (_("Published"), "green"),
    WITHDRAWN: (_("Withdrawn"), "grey"),
}
# ASCII only, so that a link ends before Chinese text.
_LINK = re.compile(r"https?://[A-Za-z0-9\-._~:/?#@!$&'*+,;=%]+")


def published_for(member_id: int) -> Select[Any]:
    """Select the published announcements for a member, and which were read."""
    return (
        select(
            Announcement.id,
            Announcement.title,
            Announcement.is_pinned,
            Announcement.published_at,
            AnnouncementReading.read_at,
            case((AnnouncementReading.read_at.is_(None), literal(UNREAD)), else_=READ).label(
                "state"
            ),
        )
        .select_from(Announcement)
        .join(Member, Member.id == member_id)
        .outerjoin(
            AnnouncementReading,
            (AnnouncementReading.announcement_id == Announcement.id)
            & (AnnouncementReading.member_id == Member.id),
        )
        .where(is_out(), is_addressed_to())
    )


def paragraphs(text: str) -> Iterator[Markup]:
    """Yield the paragraphs of a plain text, with its links marked up."""
    for line in filter(str.strip, text.splitlines()):
        found, last = Markup(), 0
        for match in _LINK.finditer(line):
            url = match[0].rstrip(".,;:!?'")
            found += escape(line[last : match.start()])
            found += Markup('<a href="{0}" rel="noopener noreferrer nofollow">{0}</a>').format(url)
            last = match.start() + len(url)
        yield found + escape(line[last:])


class AnnouncementView(ListPage):
    """通知公告: the published ones for this member."""

    route_base = "/announcements"
    title = _("Notices")
    menu = MenuEntry(FIRST, 2, "ti-speakerphone")
    guide = {
        "enterprise": "首页与通知公告",
        "province": "首页与通知公告",
        "registry": "通知公告",
        "administration": "首页与通知公告",
    }
    grants = {ALL_ROLES: "list export show"}
    account_column = None  # Restricted by audience: `published_for`.
    key = ("is_pinned", "published_at", "id")
    columns = (
        Column("state", _("Reading state"), "status", choices=READING_STATES),
        Column(
            "title",
            _("Title"),
            link=lambda row: url_for("AnnouncementView.show", id=row.id),
        ),
        Column("is_pinned", _("Pinned"), "boolean"),
        Column("published_at", _("Published at"), "datetime", is_sortable=True),
        Column("read_at", _("Read at"), "datetime", is_shown=False),
    )
    filters = (
        Filter("title", _("Title")),
        Filter("state", _("Reading state"), "choice", choices=READING_STATES),
        Filter("published_at", _("Published at"), "date_range"),
    )
    help = (
        _("An announcement counts as read once it was opened"),
        _("Pinned ones stand first; what was withdrawn is no longer shown"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        return published_for(g.user.id)

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Read"), url_for("AnnouncementView.show", id=row.id))

    def tools(self) -> Iterable[RowAction]:
        if g.facts.unread:
            url = url_for("AnnouncementView.read_all")
            yield RowAction(_("Mark all as read"), url, method="post", icon="checks")

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show one and mark it as read; 404 outside its audience."""
        columns = (Announcement.text, Announcement.audience, Announcement.province)
        wanted = published_for(g.user.id).add_columns(*columns).where(Announcement.id == id)
        found = db.session.execute(wanted).one_or_none()
        if found is None:
            abort(404)
        if found.read_at is None:
            with transaction():
                noted = announcements.mark_read(g.user.id, now=clock.now(), ids=[id])
            g.facts = g.facts._replace(unread=g.facts.unread - len(noted))
        detail = {
            "title": found.title,
            "status": {"label": gettext("Pinned"), "tone": "red"} if found.is_pinned else None,
            "sections": [{"items": [*_facts(found)]}],
            "back_url": back_url(url_for("AnnouncementView.list")),
        }
        return self.render_template(
            "administration/announcement.html",
            detail=detail,
            paragraphs=[*paragraphs(found.text)],
            crumb=gettext("Details"),
        )

    @expose("/read", methods=["POST"])
    @has_access
    @permission_name("show")
    def read_all(self) -> Any:
        with transaction():
            noted = announcements.mark_read(g.user.id, now=clock.now())
        flash(gettext("%(count)s announcements were marked as read.", count=len(noted)), "success")
        return redirect(back_url(url_for("AnnouncementView.list")))


class AnnouncementForm(PageForm):
    title = StringField(_("Title"), [Required()], render_kw={"maxlength": LONGEST_TITLE})
    text = TextAreaField(
        _("Text"),
        [Required()],
        render_kw={"rows": 14, "maxlength": LONGEST_TEXT},
        description=_("Plain text; every line is a paragraph, and addresses become links"),
    )
    audience = SelectField(_("Audience"), [Required()], validate_choice=False)
    province = SelectField(_("Province"), validate_choice=False)
    is_pinned = BooleanField(_("Pinned"), description=_("Stands above the others"))
    version = HiddenField()

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        self.audience.choices = choices_of(AUDIENCES)[1:]
        self.province.choices = choices_of(PROVINCES, _("The whole country"))

    def content(self) -> Content:
        return Content(
            self.title.data or "",
            self.text.data or "",
            self.audience.data or "",
            self.province.data or None,
            bool(self.is_pinned.data),
        )


class AnnouncementDeskView(ListPage):
    """公告管理: drafts, published and withdrawn ones, and how many members have read them."""

    route_base = "/announcement-desk"
    title = _("Announcement management")
    menu = MenuEntry(FIRST, 3, "ti-edit")
    guide = {"registry": "通知公告"}
    grants = {OFFICERS: "list export show", REGISTRY_MAKER: "write", REGISTRY_CHECKER: "publish"}
    account_column = None  # Officers of the registry only.
    columns = (
        Column("title", _("Title")),
        Column("audience", _("Audience"), choices=AUDIENCES),
        Column("province", _("Province"), choices=PLACES),
        Column("is_pinned", _("Pinned"), "boolean"),
        Column("state", _("State"), "status", choices=STATES),
        Column("readers", _("Read by, of all"), "code"),
        Column("written_by", _("Written by")),
        Column("written_at", _("Written at"), "datetime", is_shown=False),
        Column("published_by", _("Published by"), is_shown=False),
        Column("published_at", _("Published at"), "datetime", is_sortable=True, is_nullable=True),
        Column("withdrawn_at", _("Withdrawn at"), "datetime", is_shown=False),
    )
    filters = (
        Filter("title", _("Title")),
        Filter("state", _("State"), "choice", choices=STATES),
        Filter("published_at", _("Published at"), "date_range"),
        Filter("audience", _("Audience"), "choice", choices=AUDIENCES),
        Filter("province", _("Province"), "choice", choices=PLACES),
    )
    help = (
        _("One officer writes, another reads it and publishes it"),
        _("What is published is changed no more: withdraw it and write another one"),
        _("Announcements are never deleted; what is withdrawn is no longer shown to members"),
        _("Read by: how many members of the audience, of those who can sign in, have opened it"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        writer, publisher = aliased(Member), aliased(Member)
        return (
            select(
                Announcement.id,
                Announcement.title,
                Announcement.audience,
                func.coalesce(Announcement.province, EVERYWHERE).label("province"),
                Announcement.is_pinned,
                Announcement.version,
                Announcement.text,
                case(
                    (Announcement.withdrawn_at.is_not(None), literal(WITHDRAWN)),
                    (Announcement.published_at.is_not(None), literal(PUBLISHED)),
                    else_=DRAFT,
                ).label("state"),
                _readers().label("readers"),
                writer.first_name.label("written_by"),
                Announcement.written_at,
                publisher.first_name.label("published_by"),
                Announcement.published_at,
                Announcement.withdrawn_at,
            )
            .select_from(Announcement)
            .join(writer, writer.id == Announcement.written_by)
            .outerjoin(publisher, publisher.id == Announcement.published_by)
        )

    def tools(self) -> Iterable[RowAction]:
        if self.may("write"):
            url = url_for("AnnouncementDeskView.new")
            yield RowAction(_("Write an announcement"), url, icon="plus")

    def actions(self, row: Any) -> Iterable[RowAction]:
        """详情, which has the other actions, and 修改 of a draft."""
        yield RowAction(_("Details"), url_for("AnnouncementDeskView.show", id=row.id))
        if row.state == DRAFT and self.may("write"):
            yield RowAction(_("Edit"), url_for("AnnouncementDeskView.edit", id=row.id))

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show one as its readers see it, with the actions on it."""
        found = self.rows(Conditions()).where(Announcement.id == id)
        row = db.session.execute(found).one_or_none()
        if row is None:
            abort(404)
        label, tone = STATES[row.state]
        detail = {
            "title": row.title,
            "status": {"label": label, "tone": tone},
            "actions": [*self._offers(row)],
            "sections": [
                {
                    "items": [
                        *_facts(row),
                        (gettext("Pinned"), row.is_pinned, "yes_no"),
                        (gettext("Read by, of all"), row.readers, "code"),
                        (gettext("Written by"), row.written_by),
                        (gettext("Written at"), row.written_at, "datetime"),
                        (gettext("Published by"), row.published_by),
                        (gettext("Withdrawn at"), row.withdrawn_at, "datetime"),
                    ]
                }
            ],
            "help": self.help,
            "back_url": back_url(url_for("AnnouncementDeskView.list")),
        }
        return self.render_template(
            "administration/announcement.html",
            detail=detail,
            paragraphs=[*paragraphs(row.text)],
            crumb=gettext("Details"),
        )

    def _offers(self, row: Any) -> Iterator[dict[str, Any]]:
        """Yield the actions, by state and the officer's permissions."""

        def offer(label: str, verb: str, **more: Any) -> dict[str, Any]:
            url = url_for(f"AnnouncementDeskView.{verb}", id=row.id)
            return {"label": label, "url": url, "method": "post", **more}

        if row.state == DRAFT and self.may("write"):
            yield offer(gettext("Edit"), "edit", method="get", tone="primary")
        if row.state == WITHDRAWN or not self.may("publish"):
            return
        if row.state == DRAFT:
            members = row.readers.partition(" / ")[2]
            question = gettext(
                "Publish “%(title)s” to %(count)s members?", title=row.title, count=members
            )
            version = {"version": row.version}
            yield offer(
                gettext("Publish"), "publish", tone="primary", confirm=question, fields=version
            )
        label = gettext("Unpin") if row.is_pinned else gettext("Pin")
        yield offer(label, "pin", fields={} if row.is_pinned else {"is_pinned": "1"})
        question = gettext("Withdraw “%(title)s”? Members see it no longer.", title=row.title)
        yield offer(gettext("Withdraw"), "withdraw", tone="danger", confirm=question)

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        form = AnnouncementForm()
        return self._save(
            form,
            lambda: announcements.write(form.content(), current_actor(), now=clock.now()),
            gettext("Write an announcement"),
        )

    @expose("/<int:id>/edit", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def edit(self, id: int) -> Any:
        row = db.session.get(Announcement, id) or abort(404)
        if row.published_at or row.withdrawn_at:
            return redirect(url_for("AnnouncementDeskView.show", id=row.id))
        form = AnnouncementForm(obj=row)

        def save() -> int:
            announcements.edit(
                id, form.content(), current_actor(), version=_version(), now=clock.now()
            )
            return id

        return self._save(form, save, gettext("Edit the announcement"))

    @expose("/<int:id>/publish", methods=["POST"])
    @has_access
    @permission_name("publish")
    def publish(self, id: int) -> Any:
        """Publish a draft, unless it has changed since it was read."""
        with transaction():
            announcements.publish(id, current_actor(), version=_version(), now=clock.now())
        flash(gettext("The announcement was published."), "success")
        return redirect(url_for("AnnouncementDeskView.show", id=id))

    @expose("/<int:id>/withdraw", methods=["POST"])
    @has_access
    @permission_name("publish")
    def withdraw(self, id: int) -> Any:
        with transaction():
            announcements.withdraw(id, current_actor(), now=clock.now())
        flash(gettext("The announcement was withdrawn."), "success")
        return redirect(url_for("AnnouncementDeskView.show", id=id))

    @expose("/<int:id>/pin", methods=["POST"])
    @has_access
    @permission_name("publish")
    def pin(self, id: int) -> Any:
        """Pin or unpin."""
        is_pinned = "is_pinned" in request.form
        with transaction():
            announcements.pin(id, current_actor(), is_pinned=is_pinned)
        return redirect(url_for("AnnouncementDeskView.show", id=id))

    def _save(self, form: AnnouncementForm, act: Callable[[], int], title: str) -> Any:
        """Show the form, or save the draft and show it."""
        saved = form.validate_on_submit() and carried_out(form, act, "title")
        if saved:
            flash(gettext("The draft was saved; another officer publishes it."), "success")
            return redirect(self.url("show", id=saved))
        cancel_url = back_url(self.url("list"))
        return self.form_page(
            title, form, crumb=title, cancel_url=cancel_url, help=self.help, refused=422
        )


def _readers() -> Any:
    """Return "n / m": n of the m active members of the audience have read it."""
    return (
        select(func.concat(func.count(AnnouncementReading.read_at), " / ", func.count()))
        .select_from(Member)
        .outerjoin(
            AnnouncementReading,
            (AnnouncementReading.announcement_id == Announcement.id)
            & (AnnouncementReading.member_id == Member.id),
        )
        .where(Member.active, is_addressed_to())
        .correlate(Announcement)
        .scalar_subquery()
    )


def _facts(row: Any) -> Iterator[tuple[Any, ...]]:
    yield gettext("Published at"), row.published_at, "datetime"
    yield gettext("Audience"), str(AUDIENCES[row.audience])
    yield gettext("Province"), str(PLACES[row.province or EVERYWHERE])


def _version() -> int:
    text = request.form.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
