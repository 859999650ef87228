"""应收款 (N143, R58): paid first by what comes in; until then nothing leaves and no other bank is bound."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Account, Member, ReceivablePayment
from app.models.figures import open_receivable
from app.operations.money import banks
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import proceeds
from tests.operations.money import lines
from tests.operations.money.lines import at
from tests.operations.money.test_settlement_of_money import EVENING, NEXT_DAY, late


def owed() -> int:
    db.session.rollback()
    return db.session.scalar(select(open_receivable.c.owed)) or 0


@pytest.fixture
def debtor(line) -> Member:
    """甲 owes 30,000.00 to 工商银行, having spent what it had paid; its restriction was lifted."""
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
    with transaction():
        db.session.get_one(Account, jia.account_id).is_restricted = False
    at(NEXT_DAY + timedelta(days=1))
    assert owed() == 30_000_00
    return jia


def test_nothing_is_withdrawn_while_it_stands(line, debtor):
    """A deposit pays it first; of a later one what is left can be withdrawn."""
    line.deposit(debtor, "10000.00")
    line.exchange()
    assert (owed(), line.money(debtor)) == (20_000_00, (0, 0))
    with pytest.raises(RuleError) as refused:
        line.withdraw(debtor, "0.01")
    assert refused.value.code == "receivable_open"
    assert "20,000.00" in str(refused.value)
    line.deposit(debtor, "20000.01")
    line.exchange()
    assert (owed(), line.money(debtor)) == (0, (1, 0))
    line.withdraw(debtor, "0.01")
    assert line.money(debtor) == (0, 1)


def test_another_bank_is_no_way_around_it(line, debtor):
    with transaction():
        banks.open_bank("CCB", "建设银行", Actor.of(line.officers[0]))
    with pytest.raises(RuleError) as refused:
        line.bind(debtor, bank="CCB")
    assert refused.value.code == "receivable_at_bank"
    # Another account of the same bank is: what comes in from there pays it.
    line.bind(debtor)
    statement = text(
        "INSERT INTO bank_binding (account_id, bank_id, holder_name, bank_account, bound_at,"
        " withdrawals_from) SELECT :account, id, '甲', '', now(), current_date FROM settlement_bank"
        " WHERE code = 'CCB'"
    )
    with pytest.raises(DBAPIError), transaction():  # The application's role may not, either.
        db.session.execute(statement, {"account": debtor.account_id})


def test_the_database_binds_no_other_bank_either(line, debtor, tables):
    with transaction():
        other = banks.open_bank("CCB", "建设银行", Actor.of(line.officers[0])).id
    tables.connection.execute("SET session_replication_role = origin")
    with pytest.raises(Exception, match="owes money at another bank"):
        tables.connection.execute(
            "INSERT INTO bank_binding (account_id, bank_id, holder_name, bank_account, bound_at,"
            " withdrawals_from) VALUES (%s, %s, '甲', '', now(), current_date)",
            [debtor.account_id, other],
        )
    tables.connection.execute("SET session_replication_role = replica")


def test_proceeds_pay_it_at_their_opening(line, debtor, tables):
    """Proceeds of 12,000.00, as a sale leaves them, become withdrawable, and pay before they can be."""
    line.deposit(debtor, "0.01")  # It has a holding whose proceeds can be set.
    line.exchange()
    tables.connection.execute(
        "UPDATE holding SET proceeds = 1200000 WHERE (account_id, instrument_id) = (%s, %s)",
        [debtor.account_id, line.instrument_id],
    )
    before = owed()
    day = (lines.MORNING + timedelta(days=2)).date()
    with transaction():
        released = proceeds.release(day, SYSTEM, now=clock.now())
    assert released is not None
    assert released.amount == 12_000_00
    assert (before, owed(), line.money(debtor)) == (29_999_99, 17_999_99, (0, 0))
    assert db.session.scalars(select(ReceivablePayment.amount)).all()[-1] == 12_000_00
