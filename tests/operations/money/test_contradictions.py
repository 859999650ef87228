"""A bank that contradicts itself is believed nothing, and two officers resolve what fits nothing."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app.domain.banks import OrderState, Said
from app.domain.errors import RuleError
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.extensions import db, transaction
from app.models import BankDifferenceResolution, BankLineEvent, OperationLog
from app.models.figures import bank_difference
from app.operations.applications import engine
from app.operations.money import banks, files, incoming, orders
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.operations.money.lines import order_of, status_of


def contradictions() -> list[OperationLog]:
    found = select(OperationLog).where(OperationLog.action == "bank.contradiction")
    return list(db.session.scalars(found.order_by(OperationLog.id)))


@pytest.mark.parametrize(
    "other",
    [{"amount": 500_01}, {"member_no": "21042399999"}, {"message": "{}", "holder_name": "乙"}],
    ids=["amount", "member", "payer"],
)
def test_a_serial_that_comes_again_with_another_content_is_refused(line, other):
    jia = line.participant("甲发电有限公司")
    serial = line.bank.pay_in(jia.username, 500_00)
    (item,) = line.http.incoming()
    with transaction():
        first = incoming.receive(line.bank_id, item, now=clock.now())
    with transaction():
        again = incoming.receive(line.bank_id, item, now=clock.now())
        second = incoming.receive(line.bank_id, replace(item, **other), now=clock.now())
    assert (first.is_done, again) == (True, first)
    assert not second.is_done
    assert serial in second.reason
    assert line.money(jia) == (50_000, 0)
    (logged,) = contradictions()
    assert (logged.subject, logged.result) == (serial, "refused")


def of_the_file(bank_serial: str, number: str, **more: object) -> files.FileRow:
    """Return the row that a day's file has of a transfer started at the counter."""
    known = {"serial": "", "outcome": OrderState.DONE, "direction": "in", "bank_serial": bank_serial,
             "platform_serial": "P1", "member_no": number, "holder_name": "甲发电有限公司",
             "bank_account": "", "amount": 500_00}  # fmt: skip
    return files.FileRow(**known | more)


def test_a_notice_after_the_day_s_file_is_the_same_transfer(line):
    jia = line.participant("甲发电有限公司")
    serial = line.bank.pay_in(jia.username, 500_00)
    (item,) = line.http.incoming()
    row = of_the_file(serial, jia.username, bank_account=item.bank_account)
    file = files.DayFile(clock.now().date(), (row,), b"")
    with transaction():
        files.take(line.bank_id, file, row, now=clock.now())
    assert line.money(jia) == (50_000, 0)
    with transaction():
        assert incoming.receive(line.bank_id, item, now=clock.now()).is_done
    assert (line.money(jia), contradictions()) == ((50_000, 0), [])


def test_a_row_that_names_another_member_fits_nothing(line):
    jia, yi = line.participant("甲发电有限公司"), line.participant("乙热电有限公司")
    asked = line.deposit(jia, "500.00")
    with transaction():
        orders.register(line.bank_id, now=clock.now())
    with transaction():
        orders.next_to_send(line.bank_id, now=clock.now())
    ours = order_of(asked).serial
    row = of_the_file("B77", yi.username, serial=ours)
    file = files.DayFile(clock.now().date(), (row,), b"")
    with transaction():
        files.take(line.bank_id, file, row, now=clock.now())
    assert (line.money(jia), order_of(asked).state) == ((0, 0), "sent")
    assert db.session.scalars(select(bank_difference.c.id)).one()


def test_an_answer_with_another_amount_changes_nothing(line):
    """The bank says done of 400.00, where 400.05 were asked for."""
    jia = line.participant("甲发电有限公司", "1000.00")
    asked = line.withdraw(jia, "400.05")
    with transaction():
        orders.register(line.bank_id, now=clock.now())
    with transaction():
        sending = orders.next_to_send(line.bank_id, now=clock.now())
    for amount, state in ((400_00, OrderState.SENT), (400_05, OrderState.DONE)):
        said = Said(OrderState.DONE, "{}", "B1", amount=amount)
        with transaction():
            assert orders.answer(sending.order_id, said, "query", now=clock.now()) is state
    assert status_of(asked) == "approved"
    (logged,) = contradictions()
    assert logged.detail["after"]["fen"] == 400_00


def test_the_amount_of_a_querys_answer_is_read(line):
    jia = line.participant("甲发电有限公司", "1000.00")
    asked = line.deposit(jia, "10.00")
    line.exchange()
    serial = order_of(asked).serial
    assert line.http.query(serial).amount == 10_00
    line.bank.state["transfers"][serial]["amount"] = "9.99"
    assert line.http.query(serial).amount == 9_99


# 资金差异 -------------------------------------------------------------------------------------


def unmatched(line) -> int:
    """Note a row of a day's file that fits nothing; return the difference's id."""
    with transaction():
        banks.note(
            line.bank_id, clock.now().date(), "unmatched", clock.now(), bank_serial="X1",
            serial="", amount=5_00, direction="in", reason="无此流水",
        )  # fmt: skip
    return db.session.scalars(select(bank_difference.c.id)).one()


def resolution(event: int, maker) -> int:
    draft = engine.Draft(
        "bank_difference", ISSUANCE_ACCOUNT_ID, (), str(uuid4()), reason="银行误记，已冲回",
        proposal=files.proposal_for(event),
    )  # fmt: skip
    with transaction():
        (made,) = engine.start([draft], Actor.of(maker), now=clock.now())
        engine.submit([made], Actor.of(maker), now=clock.now()).one()
    return made


def test_two_officers_resolve_a_row_that_fits_nothing(line):
    maker, checker = line.officers
    event = unmatched(line)
    made = resolution(event, maker)
    with pytest.raises(RuleError) as refused:
        resolution(event, maker)  # One at a time: two could be approved at one press.
    assert refused.value.code == "under_review_already"
    with pytest.raises(RuleError), transaction():
        engine.approve([made], Actor.of(maker), now=clock.now()).one()
    with transaction():
        engine.approve([made], Actor.of(checker), now=clock.now()).one()
    assert db.session.scalars(select(bank_difference.c.is_resolved)).one()
    with pytest.raises(RuleError) as refused:
        resolution(event, maker)  # Once is enough.
    assert refused.value.code == "bank_difference_not_open"


def test_balances_differ_or_they_do_not(line):
    day = clock.now().date()
    with transaction():
        banks.note(line.bank_id, day, "balance", clock.now(), ours=100, theirs=100)
        banks.note(line.bank_id, day, "balance", clock.now(), ours=100, theirs=99)
    (event,) = db.session.scalars(select(bank_difference.c.id))
    assert files.proposal_for(event)["theirs"] == 99
    fits = db.session.scalars(select(BankLineEvent.id).where(BankLineEvent.id != event)).first()
    assert files.proposal_for(fits) is None


def test_the_database_takes_no_resolution_without_an_approval(line):
    event = unmatched(line)
    made = resolution(event, line.officers[0])
    with pytest.raises(DBAPIError, match="approved application alone"), transaction():
        db.session.add(
            BankDifferenceResolution(event_id=event, application_id=made, resolved_at=clock.now())
        )
