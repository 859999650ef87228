"""出金 under threads: the same money, and the limit of a day, are used once."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest

from app.extensions import db, transaction
from app.operations.applications import engine
from app.operations.money import applying, orders
from app.operations.records import clock
from app.operations.records.actor import Actor
from simulators.bank import Bank
from tests.operations.money import lines
from tests.operations.money.lines import Line


@pytest.fixture
def line(app, maker, checker):
    lines.at(lines.MORNING)
    with lines.line_to(Bank(lines.KEY), maker, checker) as found:
        yield found


def drafts(member, yuan: str, count: int) -> list[int]:
    with transaction():
        found = [
            applying.draft("withdrawal", member.account_id, lines.fen(yuan), str(uuid4()))
            for _each in range(count)
        ]
        return engine.start(found, Actor.of(member), now=clock.now())


def submit(id_: int, actor: Actor) -> None:
    with transaction():
        engine.submit([id_], actor, now=clock.now()).one()


def send(bank_id: int) -> str | None:
    with transaction():
        order = orders.next_to_send(bank_id, now=clock.now())
        return order.serial if order else None


def test_two_withdrawals_of_the_same_money(together, line: Line):
    jia = line.participant("甲发电有限公司", "100.00")
    actor = Actor.of(jia)

    results = together(*(partial(submit, each, actor) for each in drafts(jia, "60.00", 3)))

    assert [error.code for error in results.failed] == ["insufficient_quantity"] * 2
    assert line.money(jia) == (4_000, 6_000)


def beyond_the_day(together, line: Line) -> list[str]:
    jia = line.participant("甲发电有限公司", "900000000.00")
    actor = Actor.of(jia)
    results = together(*(partial(submit, each, actor) for each in drafts(jia, "100000000.00", 6)))
    return [error.code for error in results.failed]


def test_the_limit_of_a_day_holds_for_all_at_once(together, line: Line):
    assert beyond_the_day(together, line) == ["withdrawals_above_limit_of_day"]


def test_without_the_account_lock_it_would_not(together, line: Line, without_account_lock):
    assert len(beyond_the_day(together, line)) == 0


def test_two_workers_send_an_order_once(together, line: Line):
    jia = line.participant("甲发电有限公司", "100.00")
    for each in drafts(jia, "10.00", 2):
        submit(each, Actor.of(jia))
    with transaction():
        orders.register(line.bank_id, now=clock.now())

    results = together(*(partial(send, line.bank_id) for _each in range(4)))

    assert results.failed == []
    sent = [serial for serial in results.returned if serial]
    assert len(sent) == len(set(sent)) == 2


def test_who_takes_it_back_while_it_is_sent(together, line: Line):
    """Either it is taken back, or it is on its way to the bank; never both."""
    jia = line.participant("甲发电有限公司", "100.00")
    (asked,) = drafts(jia, "10.00", 1)
    submit(asked, Actor.of(jia))
    with transaction():
        orders.register(line.bank_id, now=clock.now())

    def take_back() -> str:
        with transaction():
            engine.withdraw([asked], Actor.of(jia), now=clock.now()).one()
        return "withdrawn"

    results = together(take_back, partial(send, line.bank_id))

    sent = [each for each in results.returned if each and each != "withdrawn"]
    withdrawn = [each for each in results.returned if each == "withdrawn"]
    assert len(sent) + len(withdrawn) == 1
    assert [error.code for error in results.failed] == (["sent_to_bank"] if sent else [])
    db.session.rollback()
