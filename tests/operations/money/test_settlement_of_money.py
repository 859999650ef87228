"""入金 and 出金 against a bank over HTTP: each is done once, whatever becomes of the answers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.extensions import db, transaction
from app.models import (
    Account,
    ApplicationEvent,
    BankAnswer,
    BankLineEvent,
    BankOrderChange,
    OperationLog,
    Receivable,
)
from app.operations.applications import engine
from app.operations.money import banks, incoming
from app.operations.records import clock
from app.operations.records.actor import BANK, Actor
from tests import factories
from tests.operations.money import lines
from tests.operations.money.lines import at, order_of, status_of

EVENING = lines.MORNING.replace(hour=18)
NEXT_DAY = lines.MORNING + timedelta(days=1)


def states(application_id: int) -> list[str]:
    order = order_of(application_id)
    found = select(BankOrderChange.state).where(BankOrderChange.order_id == order.id)
    return list(db.session.scalars(found.order_by(BankOrderChange.id)))


def test_a_deposit_is_credited_once_the_bank_says_that_it_is_done(line):
    jia = line.participant("甲发电有限公司")
    asked = line.deposit(jia, "800000.00")

    assert (line.money(jia), status_of(asked)) == ((0, 0), "in_review")
    line.exchange()

    assert (line.money(jia), status_of(asked)) == ((80_000_000, 0), "approved")
    assert states(asked) == ["pending", "sent", "done"]
    order = order_of(asked)
    assert all((order.serial, order.bank_serial, order.platform_serial))
    assert line.bank.special == line.owed == 80_000_000


def test_a_withdrawal_is_held_and_leaves_once_the_bank_has_paid(line):
    jia = line.participant("甲发电有限公司", "1000.00")
    asked = line.withdraw(jia, "400.05")

    assert line.money(jia) == (59_995, 40_005)
    line.exchange()

    assert (line.money(jia), status_of(asked)) == ((59_995, 0), "approved")
    assert line.bank.special == line.owed == 59_995


def test_what_the_bank_refuses_is_sent_back_with_its_reason_and_released(line):
    jia = line.participant("甲发电有限公司", "1000.00")
    line.bank.fail("transfer", "refuse")
    asked = line.withdraw(jia, "400.00")
    line.exchange()

    assert (line.money(jia), status_of(asked)) == ((100_000, 0), "returned")
    event = db.session.scalars(
        select(ApplicationEvent).where(ApplicationEvent.application_id == asked)
        .order_by(ApplicationEvent.id.desc())
    ).first()  # fmt: skip
    assert (event.action, event.member_name, event.comment) == ("send_back", "结算银行", "银行拒绝")


def test_it_is_submitted_again_as_another_order(line):
    jia = line.participant("甲发电有限公司", "1000.00")
    line.bank.fail("transfer", "refuse")
    asked = line.withdraw(jia, "400.00")
    line.exchange()
    first = order_of(asked).serial
    with transaction():
        engine.submit([asked], Actor.of(jia), now=clock.now()).one()
    line.exchange()

    assert (line.money(jia), status_of(asked)) == ((60_000, 0), "approved")
    assert order_of(asked).serial != first


@pytest.mark.parametrize("fault", ["lost_after", "slow", "unsigned"])
def test_a_lost_answer_is_queried_and_never_sent_again(line, fault):
    jia = line.participant("甲发电有限公司")
    line.bank.fail("transfer", fault)
    asked = line.deposit(jia, "500.00")
    line.exchange()

    assert (line.money(jia), status_of(asked)) == ((50_000, 0), "approved")
    assert states(asked) == ["pending", "sent", "unknown", "done"]
    assert (line.bank.duplicates, line.bank.special) == (0, 50_000)


def test_a_worker_that_dies_after_sending_leaves_an_order_to_be_queried(line, monkeypatch):
    jia = line.participant("甲发电有限公司")
    asked = line.deposit(jia, "500.00")
    sent = line.http.transfer

    def dies(order, day):
        sent(order, day)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(line.http, "transfer", dies)
        with pytest.raises(KeyboardInterrupt):
            line.exchange()
    assert (order_of(asked).state, line.money(jia)) == ("sent", (0, 0))

    line.exchange()
    assert order_of(asked).state == "sent", "its answer may still come"
    at(lines.MORNING + timedelta(minutes=3))
    line.exchange()

    assert (order_of(asked).state, line.money(jia)) == ("done", (50_000, 0))
    assert line.bank.duplicates == 0


def test_what_the_day_file_lacks_is_released(line):
    jia = line.participant("甲发电有限公司", "1000.00")
    line.bank.fail("transfer", "lost_before")
    asked = line.withdraw(jia, "400.00")
    line.exchange()

    assert (order_of(asked).state, line.money(jia)) == ("unknown", (60_000, 40_000))
    at(EVENING)
    line.exchange()

    assert (order_of(asked).state, status_of(asked)) == ("refused", "returned")
    assert line.money(jia) == (100_000, 0)
    reason = db.session.scalars(
        select(BankAnswer.reason).where(BankAnswer.order_id == order_of(asked).id)
        .order_by(BankAnswer.id.desc())
    ).first()  # fmt: skip
    assert reason == "Not in the bank's file of 2026-11-23"


def late(line, jia, asked) -> None:
    """The bank pays a withdrawal on the next day, after its hold was released (N143)."""
    at(EVENING)
    line.exchange()
    assert order_of(asked).state == "refused"
    line.bank.work_late("2026-11-24")
    at(NEXT_DAY)


def test_a_late_success_is_booked_from_the_banks_file(line):
    """N143: 50,000 out, no answer, released, the bank's file shows it paid."""
    jia = line.participant("甲发电有限公司", "80000.00")
    line.bank.fail("transfer", "late")
    asked = line.withdraw(jia, "50000.00")
    line.exchange()
    late(line, jia, asked)
    at(EVENING + timedelta(days=1))
    line.exchange()
    line.exchange()

    assert (order_of(asked).state, line.money(jia)) == ("done", (3_000_000, 0))
    assert line.bank.special == line.owed == 3_000_000
    assert db.session.scalars(select(Receivable)).all() == []


def test_what_was_spent_meanwhile_is_a_receivable_and_a_restriction(line):
    line.participant("乙水泥有限公司", "100000.00")
    jia = line.participant("甲发电有限公司", "80000.00")
    line.bank.fail("transfer", "late")
    asked = line.withdraw(jia, "50000.00")
    line.exchange()
    late(line, jia, asked)
    line.exchange()
    line.withdraw(jia, "60000.00")
    line.exchange()
    at(EVENING + timedelta(days=1))
    line.exchange()

    assert (order_of(asked).state, line.money(jia)) == ("done", (0, 0))
    (owed,) = db.session.scalars(select(Receivable)).all()
    assert owed.amount == 3_000_000
    assert db.session.get_one(Account, jia.account_id).is_restricted
    logged = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "bank.correct")
    ).one()
    assert (logged.account_id, logged.detail["receivable"]) == (jia.account_id, 3_000_000)
    assert line.bank.special == line.owed == 7_000_000

    at(NEXT_DAY + timedelta(days=1))
    line.deposit(jia, "45000.00")
    line.exchange()
    assert line.money(jia) == (1_500_000, 0)
    assert line.bank.special == line.owed == 11_500_000


def test_money_that_the_bank_takes_in_at_its_counter_is_credited_once(line):
    jia = line.participant("甲发电有限公司")
    serial = line.bank.pay_in(jia.username, 12_345)
    line.exchange()
    line.bank.state["incoming"][serial]["is_open"] = True  # Our answer was lost.
    line.exchange()

    assert line.money(jia) == (12_345, 0)
    assert line.bank.state["incoming"][serial]["serial"].startswith("B")


def test_money_from_elsewhere_is_refused(line):
    jia = line.participant("甲发电有限公司")
    serial = line.bank.pay_in(jia.username, 12_345)
    line.bank.state["incoming"][serial]["bank_account"] = "6222020099999999"
    line.bank.open_account("6222020099999999", "丙公司", 0)
    line.exchange()

    assert line.money(jia) == (0, 0)
    assert line.bank.state["incoming"][serial]["outcome"] == "refused"
    assert line.bank.special == line.owed == 0


def test_a_deposit_is_reversed_while_its_money_is_there(line):
    jia = line.participant("甲发电有限公司", "500.00")
    serial = next(iter(line.bank.state["transfers"].values()))["bank_serial"]
    line.bank.ask_reversal(serial)
    line.exchange()

    assert line.money(jia) == (0, 0)
    assert line.bank.special == line.owed == 0


def test_a_deposit_is_reversed_once_however_often_it_is_asked_for(line):
    jia = line.participant("甲发电有限公司")
    serial = line.bank.pay_in(jia.username, 500_00)
    line.exchange()
    requests = [line.bank.ask_reversal(serial) for _each in range(2)]
    line.exchange()
    assert [line.bank.state["incoming"][each]["outcome"] for each in requests] == [
        "done",
        "refused",
    ]
    line.bank.state["incoming"][requests[0]]["is_open"] = True  # It has not heard our answer.
    line.bank.state["incoming"][requests[0]]["outcome"] = "asked"
    waiting = line.http.incoming()
    assert [incoming.receive(line.bank_id, each, now=clock.now()).is_done for each in waiting] == [
        True
    ]
    db.session.rollback()
    assert line.money(jia) == (0, 0)
    assert line.bank.special == line.owed == 0


def test_the_file_of_a_day_contradicts_no_reversal(line):
    line.participant("甲发电有限公司", "500.00")
    line.bank.ask_reversal(next(iter(line.bank.state["transfers"].values()))["bank_serial"])
    line.exchange()
    for moment in (EVENING, NEXT_DAY):
        at(moment)
        line.exchange()
    assert line.bank.special == line.owed == 0
    found = select(OperationLog.action).where(
        OperationLog.action.in_(("bank.file", "bank.contradiction"))
    )
    assert set(db.session.scalars(found)) == {"bank.file"}


def test_a_reversal_of_what_was_used_is_refused(line):
    jia = line.participant("甲发电有限公司", "500.00")
    serial = next(iter(line.bank.state["transfers"].values()))["bank_serial"]
    line.withdraw(jia, "0.01")
    line.exchange()
    line.bank.ask_reversal(serial)
    line.exchange()

    assert line.money(jia) == (49_999, 0)
    assert line.bank.special == line.owed == 49_999


def test_a_payment_that_comes_back_is_credited_again(line):
    jia = line.participant("甲发电有限公司", "500.00")
    asked = line.withdraw(jia, "200.00")
    line.exchange()
    line.bank.ask_reversal(order_of(asked).bank_serial)
    line.exchange()

    assert (order_of(asked).state, line.money(jia)) == ("reversed", (50_000, 0))
    assert line.bank.special == line.owed == 50_000


# Rules ------------------------------------------------------------------------------------------


def test_no_more_than_is_there(line):
    jia = line.participant("甲发电有限公司", "100.00")
    with pytest.raises(InsufficientQuantity) as refused:
        line.withdraw(jia, "100.01")
    assert str(refused.value) == (
        "资金（ICBC银行）: 100.01 yuan asked for, but only 100.00 yuan are available"
    )


def test_limits_of_a_withdrawal_and_of_a_day(line):
    jia = line.participant("甲发电有限公司", "900000000.00")
    with pytest.raises(RuleError) as refused:
        line.withdraw(jia, "100000000.01")
    assert str(refused.value) == (
        "A withdrawal is at most 100,000,000.00 yuan; this is 100,000,000.01 yuan"
    )
    for _each in range(5):
        line.withdraw(jia, "100000000.00")
    with pytest.raises(RuleError) as refused:
        line.withdraw(jia, "0.01")
    assert str(refused.value) == (
        "At most 500,000,000.00 yuan can be withdrawn a day; 500,000,000.00 yuan were asked for today"
        " already, and this is 0.01 yuan"
    )


def test_a_new_binding_waits_a_working_day(line):
    jia = line.participant("甲发电有限公司", "100.00")
    line.bind(jia)
    line.exchange()
    with pytest.raises(RuleError) as refused:
        line.withdraw(jia, "1.00")
    assert str(refused.value) == (
        "The bank account was bound newly: withdrawals are possible from 2026-11-24 on"
    )
    line.deposit(jia, "1.00")


def test_only_an_account_of_the_own_name_is_bound(line, maker):
    jia = factories.member(of=factories.account("甲发电有限公司"))
    with pytest.raises(RuleError) as refused:
        lines.binding_application(jia, "6222020012345678", holder="乙水泥有限公司")
    assert str(refused.value) == (
        "Only a bank account in the enterprise's own name can be bound: its holder is 乙水泥有限公司,"
        " the registry account is in the name of 甲发电有限公司"
    )


def test_one_officer_does_not_bind(line, maker):
    jia = factories.member(of=factories.account("甲发电有限公司"))
    made = lines.binding_application(jia, "6222020012345678")
    with transaction():
        engine.approve([made], Actor.of(maker), now=clock.now()).one()
    with transaction(), pytest.raises(NotAllowed):
        engine.approve([made], Actor.of(maker), now=clock.now()).one()


def test_another_bank_is_bound_only_once_the_money_is_gone(line, maker, checker):
    jia = line.participant("甲发电有限公司", "100.00")
    with transaction():
        banks.open_bank("CCB", "建设银行", Actor.of(maker))
    with pytest.raises(RuleError) as refused:
        lines.binding_application(jia, "6222020012345678", bank="CCB")
    assert str(refused.value) == (
        "There is money at the bank bound so far: withdraw it before another bank is bound"
    )
    line.withdraw(jia, "100.00")
    with pytest.raises(RuleError) as refused:
        lines.binding_application(jia, "6222020012345678", bank="CCB")
    line.exchange()
    line.bind(jia, bank="CCB")


def test_what_the_bank_will_not_bind_takes_no_money(line):
    line.bank._opens = False
    jia = line.participant("甲发电有限公司")
    with pytest.raises(RuleError) as refused:
        line.deposit(jia, "1.00")
    assert str(refused.value) == "The bank has not confirmed the bound bank account yet"


def test_it_is_withdrawn_until_it_is_sent(line):
    jia = line.participant("甲发电有限公司", "100.00")
    asked = line.withdraw(jia, "10.00")
    with transaction():
        engine.withdraw([asked], Actor.of(jia), now=clock.now()).one()
    line.exchange()
    assert line.money(jia) == (10_000, 0)

    line.bank.fail("transfer", "lost_before")
    asked = line.withdraw(jia, "10.00")
    line.exchange()
    with pytest.raises(NotAllowed) as refused, transaction():
        engine.withdraw([asked], Actor.of(jia), now=clock.now()).one()
    assert str(refused.value) == ("It is on its way to the bank and can no longer be withdrawn")


def test_a_restriction_stops_a_withdrawal_not_its_outcome(line, maker, checker):
    jia = line.participant("甲发电有限公司", "100.00")
    asked = line.withdraw(jia, "10.00")
    account = db.session.get_one(Account, jia.account_id)
    factories.confirmed(factories.entered("restriction", account, maker), checker)
    line.exchange()

    assert (status_of(asked), line.money(jia)) == ("approved", (9_000, 0))
    with pytest.raises(NotAllowed):
        line.withdraw(jia, "10.00")


def test_nobody_but_the_bank_decides(line, maker):
    jia = line.participant("甲发电有限公司", "100.00")
    asked = line.withdraw(jia, "10.00")
    with pytest.raises(NotAllowed), transaction():
        engine.approve([asked], Actor.of(maker), now=clock.now()).one()


def test_the_machine_alone_decides_nothing(line):
    """Without the bank's recorded word the database refuses the approval."""
    jia = line.participant("甲发电有限公司", "100.00")
    asked = line.withdraw(jia, "10.00")
    with pytest.raises(Exception, match="no bank has said"), transaction():
        engine.approve([asked], BANK, now=clock.now()).one()
    assert line.money(jia) == (9_000, 1_000)


def test_the_evening_signs_out_and_compares_the_balance(line):
    line.participant("甲发电有限公司", "100.00")
    at(EVENING)
    line.exchange()
    line.exchange()

    found = db.session.execute(
        select(BankLineEvent.event, BankLineEvent.detail)
        .where(BankLineEvent.day == EVENING.date())
        .order_by(BankLineEvent.id)
    ).all()
    assert [row.event for row in found] == ["sign_in", "balance", "sign_out", "day_file"]
    assert found[1].detail == {"ours": 10_000, "theirs": 10_000}
