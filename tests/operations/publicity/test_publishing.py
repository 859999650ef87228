"""信息公开: what is published, of whom, and as of which day (rules-2026 N132, N160, N161)."""

from __future__ import annotations

from datetime import date

from app.domain.compliance.notices import Decision, Terms
from app.extensions import db, transaction
from app.models import FeeRate, Publication
from app.operations.publicity import publishing
from app.operations.records import announcements, clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.operations import carrying


def published(day: int = 20):
    """Publish on a day of November 2026."""
    with transaction():
        return publishing.publish_if_due(SYSTEM, now=factories.at("06:00", day=day))


def rows(name, part="", day=None):
    db.session.rollback()
    found = publishing.find(name, part, day)
    assert found
    return list(found.rows())


def cancelled(by, what, tonnes, officer):
    made = factories.submitted("voluntary_cancellation", by, {what: tonnes}, reason="支持减排")
    factories.confirmed(made.id, officer)


def test_it_is_published_once_a_business_day(app):
    assert published(20)
    assert not published(20)
    assert not published(19)
    assert published(21)
    assert publishing.find("compliance").as_of == date(2026, 11, 21)


def test_nothing_is_there_before_the_first_publishing(app):
    assert publishing.find("compliance") is None


def test_n132_issued_less_cancelled_per_vintage(plant, operator, checker):
    """R110: 3,000 issued, 500 cancelled: 2,500."""
    what = factories.instrument("2025年度配额", trade_code=None, vintage=2025)
    factories.give(plant, what, 3_000)
    cancelled(operator, what, 500, checker)
    published()
    assert rows("vintages") == [
        {"vintage": 2025, "issued": 3_000, "cancelled": 500, "remaining": 2_500}
    ]


def test_n160_cancellations_are_named_and_persons_are_not(plant, operator, checker, cea):
    person = factories.account("王某", holder_class="person")
    factories.give(person, cea, 50)
    cancelled(operator, cea, 200, checker)
    cancelled(factories.member(of=person), cea, 5, checker)
    published()
    assert [(row["name"], row["quantity"]) for row in rows("cancellations")] == [
        ("", 5), (plant.name, 200),
    ]  # fmt: skip
    assert rows("cancellations")[1] == {
        "day": "2026-11-20", "name": plant.name, "code": cea.code, "instrument": cea.name,
        "vintage": 2020, "quantity": 200,
    }  # fmt: skip


def test_n161_a_year_by_province(maker):
    """湖北: three with 100 each, one of them fulfilled; 上海 alone with 70 is part of a line of four."""
    plants = [factories.account(f"{n}电厂") for n in "甲乙丙"]
    lonely = factories.account("沪电厂", province="31")
    what = factories.instrument("2025年度配额", trade_code=None, vintage=2025)
    notices = [factories.notice(each, 100, by=maker) for each in plants]
    factories.notice(lonely, 70, by=maker)
    factories.give(plants[0], what, 100)
    operator = factories.member(of=plants[0])
    made = factories.submitted(
        "surrender", operator, {what: 100}, notice_id=notices[0], reason="履约"
    )
    factories.confirmed(made.id, factories.officer_of("42"))
    published()
    assert rows("compliance") == [
        {"year": 2025, "province": "all", "enterprises": 4, "fulfilled": 1, "open": 3,
         "obligation": 370, "surrendered": 100, "gap": 270},
        {"year": 2025, "province": "others", "enterprises": 4, "fulfilled": 1, "open": 3,
         "obligation": 370, "surrendered": 100, "gap": 270},
    ]  # fmt: skip


def test_n160_the_list_of_emitters_says_who_surrendered_once_it_was_due(plant, operator, maker):
    owing = factories.account("乙钢铁公司", sector="steel", uscc="91420000000000000X")
    carrying.fulfilled(plant, operator, maker)  # 2023 and 2024
    factories.decided(owing, Decision(2024, "steel", None, Terms(40)), by=maker)
    factories.decided(owing, Decision(2025, "steel", None, Terms(50)), by=maker)
    published()
    found = rows("emitters", "2024")
    assert [(row["name"], row["sector"], row["surrender"]) for row in found] == [
        ("乙钢铁公司", "steel", "short"), (plant.name, "power", "fulfilled"),
    ]  # fmt: skip
    # It is due on 2026-12-31, and an obligation is nobody else's business.
    (shown,) = [row for row in rows("emitters", "2025") if row["name"] == owing.name]
    assert shown == {
        "year": 2025, "province": "42", "sector": "steel", "name": owing.name, "uscc": owing.uscc,
        "surrender": "",
    }  # fmt: skip
    assert publishing.find("emitters", None).parts[:2] == ["2026", "2025"]


def test_n160_penalties_once_two_officers_entered_them(plant, hubei):
    made = factories.entered(
        "penalty", plant, hubei, category="shortfall", proposal={"year": "2024", "fen": 327_150_000}
    )
    published(20)
    assert rows("penalties") == []
    factories.confirmed(made, factories.colleague(hubei))
    published(21)
    (row,) = rows("penalties")
    assert (row["name"], row["year"], row["type"], row["amount"]) == (
        plant.name, 2024, "shortfall", 327_150_000,
    )  # fmt: skip
    # As it was published on the day before.
    assert rows("penalties", day=date(2026, 11, 20)) == []


def test_fees_and_announcements_are_published(maker, checker):
    with transaction():
        fee = {
            "code": "settlement",
            "name": "结算费",
            "payer": "买卖双方",
            "rate": "成交金额的0.03‰",
        }
        db.session.add(FeeRate(**fee, basis="公告2021年第1号"))
        db.session.add(FeeRate(**fee | {"code": "old"}, basis="旧", disabled_from=date(2026, 1, 1)))
        for audience in ("public", "everybody"):
            content = announcements.Content(f"关于{audience}", "内容", audience)
            id_ = announcements.write(content, Actor.of(maker), now=clock.now())
            announcements.publish(id_, Actor.of(checker), version=1, now=clock.now())
    published()
    assert [row["name"] for row in rows("fees")] == ["结算费"]
    assert [row["title"] for row in rows("announcements")] == ["关于public"]


def test_a_version_is_kept_where_something_changed_alone(plant):
    published(20)
    before = db.session.query(Publication).count()
    published(21)
    assert db.session.query(Publication).count() == before
    factories.account("新电厂")
    published(22)
    db.session.rollback()
    changed = db.session.query(Publication).count() - before
    assert changed == 6  # the list of each year since 2021, by the sector's first day
