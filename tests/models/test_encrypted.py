"""Personal data at rest: stored form, key selection, errors."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select, text

from app.models import encrypted
from app.models.encrypted import Encrypted, Keys, PersonalDataUnreadable

PHONE = "13812341234"
OLD = Keys("2025a", {"2025a": b"o" * 32}, index=b"i" * 32)
NEW = Keys("2026a", {"2026a": b"n" * 32, "2025a": b"o" * 32}, index=b"i" * 32)


@pytest.fixture
def ring(app):
    """Set the keys for one test."""
    before = encrypted.keys()
    yield lambda keys: encrypted.set_keys(lambda: keys)
    encrypted.set_keys(lambda: before)


@pytest.fixture
def person(cluster):
    """A table of the test's own with an encrypted column."""
    name = "personal_data"
    urls = cluster.create_database(name)
    table = Table("person", MetaData(), Column("id", Integer, primary_key=True),
                  Column("phone", Encrypted("person.phone")),
                  Column("identity_no", Encrypted("person.identity_no")))  # fmt: skip
    engine = create_engine(urls.owner)
    table.metadata.create_all(engine)
    yield engine, table
    engine.dispose()
    cluster.drop_database(name)


@pytest.mark.parametrize("suite", encrypted.SUITES)
def test_what_is_stored_does_not_hold_the_clear_text(ring, person, suite):
    ring(replace(NEW, suite=suite))
    engine, table = person
    with engine.begin() as connection:
        connection.execute(insert(table), [{"id": 1, "phone": PHONE}, {"id": 2, "phone": PHONE}])
        stored = connection.execute(text("SELECT phone FROM person ORDER BY id")).scalars().all()
        read = connection.execute(select(table.c.phone)).scalars().all()
        whole = connection.execute(text("SELECT person::text FROM person")).scalars().all()

    assert read == [PHONE, PHONE]
    assert stored[0] != stored[1], "equal values look different"
    for row in (*whole, *stored, *map(_decoded, stored)):
        assert PHONE not in str(row)
        assert PHONE[3:] not in str(row)
    assert stored[0].startswith(f"p1:{suite}:2026a:")


def _decoded(stored: str) -> bytes:
    return base64.b64decode(stored.rpartition(":")[2])


def test_null_and_empty_text_round_trip(ring, person):
    ring(NEW)
    engine, table = person
    with engine.begin() as connection:
        connection.execute(insert(table), {"id": 1, "phone": None, "identity_no": ""})
        assert connection.execute(select(table.c.phone, table.c.identity_no)).one() == (None, "")


def test_an_older_key_still_reads_and_the_new_one_writes(ring):
    ring(OLD)
    stored = encrypted.encrypt(PHONE, "person.phone")
    ring(NEW)
    assert encrypted.decrypt(stored, "person.phone") == PHONE
    assert encrypted.key_of(encrypted.encrypt(PHONE, "person.phone")) == "2026a"


def test_a_missing_key_is_named(ring):
    ring(NEW)
    stored = encrypted.encrypt(PHONE, "person.phone")
    ring(OLD)
    with pytest.raises(PersonalDataUnreadable, match=r"key 2026a .* is not among the keys"):
        encrypted.decrypt(stored, "person.phone")


def test_a_wrong_key_of_the_right_name_reads_nothing(ring):
    ring(OLD)
    stored = encrypted.encrypt(PHONE, "person.phone")
    ring(replace(OLD, secrets={"2025a": b"x" * 32}))
    with pytest.raises(PersonalDataUnreadable, match="does not fit"):
        encrypted.decrypt(stored, "person.phone")


@pytest.mark.parametrize("suite", encrypted.SUITES)
def test_a_changed_byte_anywhere_is_found(ring, suite):
    ring(replace(NEW, suite=suite))
    stored = encrypted.encrypt(PHONE, "person.phone")
    head, _, text_ = stored.rpartition(":")
    raw = base64.b64decode(text_)
    for place in range(len(raw)):
        changed = bytes(byte ^ (n == place) for n, byte in enumerate(raw))
        with pytest.raises(PersonalDataUnreadable):
            encrypted.decrypt(f"{head}:{base64.b64encode(changed).decode()}", "person.phone")
    for cut in ("", base64.b64encode(raw[:20]).decode(), text_[:-3], "****"):
        with pytest.raises(PersonalDataUnreadable):
            encrypted.decrypt(f"{head}:{cut}", "person.phone")


def test_a_value_moved_to_another_column_is_not_read(ring):
    ring(NEW)
    stored = encrypted.encrypt(PHONE, "person.phone")
    with pytest.raises(PersonalDataUnreadable):
        encrypted.decrypt(stored, "person.bank_account")


def test_clear_text_in_the_column_is_not_taken_for_a_value(ring):
    with pytest.raises(PersonalDataUnreadable, match="not an encrypted value"):
        encrypted.decrypt(PHONE, "person.phone")


def test_keys_do_not_show_themselves():
    assert "oooo" not in repr(OLD)
    assert "iiii" not in repr(OLD)


def test_a_page_that_cannot_read_says_which_setting_to_check(app, sign_in):
    from tests.factories import member

    browser = sign_in(member("auditor"))
    home = app.view_functions["HomeView.index"]

    def unreadable():
        raise PersonalDataUnreadable("account.phone: key 2026a (intl) is not among the keys")

    app.view_functions["HomeView.index"] = unreadable
    try:
        response = browser.get("/")
    finally:
        app.view_functions["HomeView.index"] = home
    assert response.status_code == 503
    assert "PERSONAL_DATA_KEY" in response.text
    assert "2026a" not in response.text
