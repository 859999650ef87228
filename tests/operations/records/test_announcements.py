"""通知公告: written and published by two officers, read by the audience; never deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.extensions import db, transaction
from app.models import Announcement, AnnouncementReading, Member, OperationLog
from app.models.announcement import unread
from app.operations.records import announcements
from app.operations.records.actor import Actor
from app.operations.records.announcements import Content
from tests.factories import account, at, member

NOW = at("10:00")
CONTENT = Content("系统维护通知", "周六维护。")


@pytest.fixture
def maker(app):
    return Actor.of(member("registry_maker"))


@pytest.fixture
def checker(app):
    return Actor.of(member("registry_checker"))


def written(maker: Actor, content: Content = CONTENT) -> int:
    with transaction():
        return announcements.write(content, maker, now=NOW)


def published(maker: Actor, checker: Actor, content: Content = CONTENT) -> int:
    made = written(maker, content)
    with transaction():
        announcements.publish(made, checker, version=1, now=NOW)
    return made


def unread_of(person: Member) -> int:
    db.session.rollback()
    return db.session.scalar(select(unread()).select_from(Member).where(Member.id == person.id))


def read(person: Member, *ids: int) -> list[int]:
    with transaction():
        return announcements.mark_read(person.id, now=NOW, ids=ids)


def test_one_officer_writes_and_another_publishes(maker, checker):
    made = written(maker)
    with (
        pytest.raises(NotAllowed, match="Whoever wrote an announcement does not publish it"),
        transaction(),
    ):
        announcements.publish(made, maker, version=1, now=NOW)
    assert db.session.get_one(Announcement, made).published_at is None

    with transaction():
        announcements.publish(made, checker, version=1, now=NOW)

    acts = db.session.scalars(select(OperationLog.action).order_by(OperationLog.id)).all()
    assert [act for act in acts if act.startswith("announcement.")] == [
        "announcement.write",
        "announcement.publish",
    ]


def test_who_changed_a_draft_last_does_not_publish_it_either(maker, checker):
    made = written(maker)
    with transaction():
        announcements.edit(made, replace(CONTENT, title="改"), checker, version=1, now=NOW)
    with pytest.raises(NotAllowed), transaction():
        announcements.publish(made, checker, version=2, now=NOW)


def test_what_was_changed_since_it_was_read_is_not_published(maker, checker):
    made = written(maker)
    with transaction():
        announcements.edit(made, replace(CONTENT, title="改"), maker, version=1, now=NOW)
    with pytest.raises(RuleError, match="changed meanwhile; please read it anew"), transaction():
        announcements.publish(made, checker, version=1, now=NOW)


def test_what_is_out_is_changed_no_more(maker, checker):
    made = published(maker, checker)
    with pytest.raises(RuleError, match="What is published is changed no more"), transaction():
        announcements.edit(made, CONTENT, maker, version=1, now=NOW)
    for change in ("title = 'x'", "text = 'x'", "published_at = now()", "province = '42'"):
        with pytest.raises(DBAPIError, match="announcement_stays"), transaction():
            db.session.execute(db.text(f"UPDATE announcement SET {change}"))


def test_what_is_withdrawn_is_gone_for_members_and_stays_on_record(maker, checker):
    made, reader = published(maker, checker), member(of=account())
    assert unread_of(reader) == 1
    with transaction():
        announcements.withdraw(made, checker, now=NOW)

    assert unread_of(reader) == 0
    assert read(reader, made) == []
    assert db.session.get_one(Announcement, made).title == CONTENT.title
    for act in (
        lambda: announcements.withdraw(made, checker, now=NOW),
        lambda: announcements.pin(made, checker, is_pinned=True),
    ):
        with pytest.raises(RuleError, match="The announcement is withdrawn"), transaction():
            act()


def test_what_is_not_there_is_not_found(checker):
    with pytest.raises(NotFound), transaction():
        announcements.withdraw(999, checker, now=NOW)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (replace(CONTENT, title=" "), "title"),
        (replace(CONTENT, title="长" * 101), "title"),
        (replace(CONTENT, text="\n"), "text"),
        (replace(CONTENT, text="长" * 5001), "text"),
        (replace(CONTENT, audience="nobody"), "audience"),
        (replace(CONTENT, province="99"), "province"),
    ],
)
def test_what_cannot_be_announced_names_its_field(maker, content, field):
    with pytest.raises(RuleError) as refusal, transaction():
        announcements.write(content, maker, now=NOW)
    assert refusal.value.field == field
    assert db.session.scalar(select(func.count()).select_from(Announcement)) == 0


def test_the_longest_text_is_kept(maker):
    made = written(maker, replace(CONTENT, title="长" * 100, text="长" * 5000))
    assert len(db.session.get_one(Announcement, made).text) == 5000


@pytest.mark.parametrize(
    ("audience", "province", "readers"),
    [
        ("everybody", None, "甲乙鄂沪审"),
        ("everybody", "42", "甲鄂"),
        ("enterprises", None, "甲乙"),
        ("enterprises", "31", "乙"),
        ("authorities", None, "鄂沪"),
        ("authorities", "42", "鄂"),
    ],
)
def test_only_the_audience_has_it_to_read(maker, checker, audience, province, readers):
    people = {
        "甲": member(of=account(province="42")),
        "乙": member(of=account("乙水泥有限公司", "31")),
        "鄂": member("province", province="42"),
        "沪": member("province", province="31"),
        "审": member("auditor"),
    }
    made = published(maker, checker, replace(CONTENT, audience=audience, province=province))
    assert "".join(name for name, person in people.items() if unread_of(person)) == readers
    assert "".join(name for name, person in people.items() if read(person, made)) == readers


def test_reading_twice_is_reading_once(maker, checker):
    first, second = published(maker, checker), published(maker, checker)
    reader, other = member(of=account()), member("auditor")
    assert read(reader, first) == [first]
    assert read(reader, first) == []
    assert (unread_of(reader), unread_of(other)) == (1, 2)

    with transaction():
        assert announcements.mark_read(reader.id, now=NOW) == [second]
    assert (unread_of(reader), unread_of(other)) == (0, 2)


def test_a_draft_cannot_be_read(maker):
    made, reader = written(maker), member("auditor")
    assert read(reader, made) == []
    assert db.session.scalar(select(func.count()).select_from(AnnouncementReading)) == 0
