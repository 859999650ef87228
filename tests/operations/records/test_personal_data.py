"""Personal data: encrypted, re-encrypted under a new key, and read in clear with a log row."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, text

from app.domain.masking import mask_of
from app.extensions import db, transaction
from app.models import AccountDetail, OperationLog, encrypted
from app.models.encrypted import PersonalDataUnreadable
from app.operations.records import personal_data
from app.operations.records.actor import Actor
from tests.factories import account, member

PHONE, IDENTITY, BANK = "13812341234", "420106199001011234", "6222020012345678123"


@pytest.fixture
def detail(app):
    """The details of 甲 under the current key."""
    plant = account()
    with transaction():
        db.session.merge(
            AccountDetail(
                account_id=plant.id,
                representative_phone=PHONE,
                representative_identity_no=IDENTITY,
                bank_account=BANK,
            )
        )
    return plant.id


@pytest.fixture
def new_key(app):
    """A newer key, removed afterwards."""
    before = encrypted.keys()
    ring = replace(before, current="new", secrets={"new": b"n" * 32, **before.secrets})
    encrypted.set_keys(lambda: ring)
    yield before
    encrypted.set_keys(lambda: before)


def stored() -> str:
    db.session.rollback()
    return str(db.session.execute(text("SELECT * FROM account_detail")).all())


def read(account_id: int) -> tuple[str | None, ...]:
    db.session.expire_all()
    row = db.session.get_one(AccountDetail, account_id)
    return row.representative_phone, row.representative_identity_no, row.bank_account


def test_the_table_holds_no_clear_number(detail):
    assert not any(number in stored() for number in (PHONE, IDENTITY, BANK))
    assert read(detail) == (PHONE, IDENTITY, BANK)


def test_a_new_key_takes_over_what_the_old_one_wrote(detail, new_key):
    assert "p1:intl:new:" not in stored()
    written = 0
    while True:
        with transaction():
            changed = personal_data.rotate()
        if not changed:
            break
        written += changed
    assert written == 3
    assert stored().count("p1:intl:new:") == 3
    # The old key may go now.
    encrypted.set_keys(lambda: replace(new_key, current="new", secrets={"new": b"n" * 32}))
    assert read(detail) == (PHONE, IDENTITY, BANK)


def test_without_the_key_nothing_is_rotated_and_nothing_is_lost(detail, new_key):
    before = stored()
    encrypted.set_keys(lambda: replace(new_key, current="new", secrets={"new": b"n" * 32}))
    with pytest.raises(PersonalDataUnreadable), transaction():
        personal_data.rotate()
    assert stored() == before


def test_reading_in_clear_is_recorded_without_the_values(detail):
    officer = member("registry_maker")
    with transaction():
        personal_data.record_reading(
            Actor.of(officer), ["representative_phone"], subject="甲", account_id=detail
        )
    row = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "personal_data.read")
    ).one()
    assert (row.member_no, row.account_id) == (officer.username, detail)
    assert row.detail == {"fields": ["representative_phone"]}


def test_every_encrypted_column_has_a_mask():
    columns = [
        column.name
        for table, column in personal_data.encrypted_columns()
        if table.name
        != "unfinished_form"  # A whole form, which is shown to whoever typed it alone.
    ]
    assert columns
    assert [name for name in columns if mask_of(name) is None] == []
