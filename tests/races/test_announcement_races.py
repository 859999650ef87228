"""通知公告 under threads: the same member reading in several windows, two officers at one draft."""

from __future__ import annotations

from functools import partial

from sqlalchemy import func, select

from app.extensions import db, transaction
from app.models import Announcement, AnnouncementReading
from app.operations.records import announcements
from app.operations.records.actor import Actor
from app.operations.records.announcements import Content
from tests.factories import at, member

NOW = at("10:00")
CONTENT = Content("系统维护通知", "周六维护。")


def written(maker: Actor) -> int:
    with transaction():
        return announcements.write(CONTENT, maker, now=NOW)


def publish(id_: int, by: Actor) -> None:
    with transaction():
        announcements.publish(id_, by, version=1, now=NOW)


def read(member_id: int) -> int:
    with transaction():
        return len(announcements.mark_read(member_id, now=NOW))


def test_a_member_reading_in_six_windows_has_read_once(together, operator):
    maker, checker = (Actor.of(member(f"registry_{role}")) for role in ("maker", "checker"))
    for _each in range(3):
        publish(written(maker), checker)
    other = member("auditor")

    results = together(*[partial(read, operator.id)] * 5, partial(read, other.id))

    assert results.failed == []
    assert sum(results.returned[:5]) == results.returned[5] == 3
    assert db.session.scalar(select(func.count()).select_from(AnnouncementReading)) == 6


def test_two_officers_publishing_at_once_and_one_does(together, app):
    made = written(Actor.of(member("registry_maker")))
    officers = [Actor.of(member("registry_checker")) for _each in range(3)]

    results = together(*(partial(publish, made, by) for by in officers))

    assert [getattr(error, "code", error) for error in results.failed] == [
        "announcement_published"
    ] * 2
    assert db.session.get_one(Announcement, made).published_at == NOW
