"""Between a day's opening and the delivery of its trades withdrawals are held (docs/adr/0077)."""

from __future__ import annotations

from datetime import date, timedelta

from app.extensions import db, transaction
from app.models import DayPackage
from app.operations.money import sessions
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.operations.settlement import stages
from tests import factories
from tests.operations.money import lines
from tests.operations.money.lines import order_of, status_of


def a_venue_that_sends(tables) -> int:
    """The venue has a certificate, so a package of each trading day is due."""
    venue_id = factories.venue().id
    db.session.commit()
    tables.connection.execute(
        "INSERT INTO venue_certificate (venue_id, certificate, valid_from) VALUES (%s, %s, %s)",
        [venue_id, b"certificate", date(2026, 1, 1)],
    )
    return venue_id


def delivered(venue_id: int, day: date) -> None:
    with transaction():
        package = DayPackage(
            venue_id=venue_id, day=day, version=1, digest="0" * 64, file=b"", certificate=b"",
            trades=0, positions=0, funds=0, transfers=0, quantity=0, amount=0,
            received_at=clock.now(),
        )  # fmt: skip
        db.session.add(package)
        db.session.flush()
        stages.note(package.id, "delivered", SYSTEM, started_at=clock.now())


def test_a_withdrawal_waits_for_the_trades_of_the_day(line, tables):
    jia = line.participant("甲发电有限公司", "100.00")
    venue = a_venue_that_sends(tables)
    asked, paid_in = line.withdraw(jia, "10.00"), line.deposit(jia, "5.00")
    line.exchange()

    assert (status_of(asked), order_of(asked).state) == ("in_review", "pending")
    assert (status_of(paid_in), line.money(jia)) == ("approved", (9_500, 1_000))
    delivered(venue, lines.MORNING.date())
    line.exchange()

    assert (status_of(asked), line.money(jia)) == ("approved", (9_500, 0))


def test_before_the_opening_the_day_before_counts(app, tables):
    venue = a_venue_that_sends(tables)
    early = lines.MORNING.replace(hour=9, minute=29)
    friday = lines.MORNING.date() - timedelta(days=3)

    assert not sessions.may_pay_out(early)
    delivered(venue, friday)
    assert sessions.may_pay_out(early)
    assert not sessions.may_pay_out(lines.MORNING.replace(hour=9, minute=30))


def test_where_no_package_is_due_nothing_is_held(app):
    factories.venue()
    db.session.commit()
    assert sessions.may_pay_out(lines.MORNING)
