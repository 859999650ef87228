"""verify_ledger: no faults on a sound ledger; every manipulation is reported with its key."""

from __future__ import annotations

import pytest

from app.domain.kinds import Kind
from app.domain.moves import Bucket
from app.domain.workflow import Line, Party
from app.extensions import db, transaction
from app.models import Instrument
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.ledger.verification import MOST_KEYS, verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import account, at, confirmed, give, instrument, known, member, submitted


@pytest.fixture
def ledger(app, cluster):
    """A small ledger: issued, submitted, withdrawn, settled, sealed."""
    plant, other, cea = account(), account("乙水泥有限公司"), instrument()
    operator = member(of=plant)
    give(plant, cea, 700)
    give(other, cea, 300, Bucket.TRADING)
    submitted("registry_to_trading", operator, {cea: 100})
    with transaction():
        settlement.settle_day(at("15:00").date(), SYSTEM, now=at("15:30"))
        clock.set_to(at("10:00", day=23), SYSTEM)
    taken_back = submitted("registry_to_trading", operator, {cea: 40})
    with transaction():
        engine.withdraw([taken_back.id], Actor.of(operator), now=clock.now())
    seal()
    submitted("registry_to_trading", operator, {cea: 60})
    return Names(plant, other, cea, operator, cluster)


class Names:
    """The parties of the small ledger, and a superuser who manipulates it."""

    def __init__(self, plant, other, cea, operator, cluster):
        self.plant, self.cea, self.cluster = plant.id, cea.id, cluster
        self.other, self.operator = other.id, operator

    def holding(self) -> str:
        return f"holding {self.plant}/{self.cea}"

    def tamper(self, *statements: str) -> None:
        """Run statements as superuser, all triggers disabled."""
        with self.cluster.connect("registry") as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                statement = statement.format(plant=self.plant, cea=self.cea, other=self.other)
                assert connection.execute(statement).rowcount > 0

    def last(self, table: str, where: str = "true") -> int:
        with self.cluster.connect("registry") as connection:
            row = connection.execute(f"SELECT max(id) FROM {table} WHERE {where}").fetchone()
        return row[0]


def seal() -> int:
    with transaction():
        return db.session.scalar(db.text("SELECT seal_movements()"))


def found() -> dict[str, list[str]]:
    db.session.rollback()
    report = verify_ledger()
    assert report.is_sound == (not report.faults)
    assert {fault.check for fault in report.faults} == set(report.totals)
    by_check: dict[str, list[str]] = {}
    for fault in report.faults:
        by_check.setdefault(fault.check, []).append(fault.key)
    return by_check


def test_a_sound_ledger_has_no_faults_and_exact_counts(ledger):
    report = verify_ledger()

    assert report.faults == []
    assert report.is_sound
    assert (report.holdings, report.postings) == (3, 7)
    assert (report.movements, report.entries) == (8, 16)
    assert (report.sealed_blocks, report.unsealed_movements) == (1, 1)
    assert len(report.last_root) == 64


def test_an_empty_ledger_is_sound(app):
    report = verify_ledger()

    assert report.is_sound
    assert (report.holdings, report.movements, report.sealed_blocks) == (0, 0, 0)
    assert report.last_root == ""


def test_it_runs_beside_open_work_and_sees_only_what_is_committed(ledger):
    db.session.execute(
        db.text("UPDATE account SET is_restricted = true WHERE id = :id"), {"id": ledger.plant}
    )

    assert verify_ledger().is_sound
    db.session.rollback()


def test_an_edited_balance_is_found(ledger):
    ledger.tamper(
        "UPDATE holding SET available = available + 1"
        " WHERE account_id = {plant} AND instrument_id = {cea}"
    )

    faults = found()

    assert faults["balance"] == [
        f"{ledger.holding()} available: holds 541, entries say 540",
    ]
    assert faults["instrument_sum"] == [f"instrument {ledger.cea}: 1"]


def test_a_vanished_holding_is_found(ledger):
    ledger.tamper("DELETE FROM holding WHERE account_id = {other}")

    assert f"holding {ledger.other}/{ledger.cea}: missing" in found()["balance"]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("version = version + 1", "version"),
        ("moved_at = moved_at - interval '1 day'", "moved_at"),
    ],
)
def test_a_holding_out_of_step_with_its_entries_is_found(ledger, change, check):
    ledger.tamper(f"UPDATE holding SET {change} WHERE account_id = {{other}}")

    assert list(found()) == [check]


def test_a_balance_below_zero_is_found(ledger):
    with ledger.cluster.connect("registry") as connection:
        connection.execute("ALTER TABLE holding DROP CONSTRAINT never_negative")
        definition = "CHECK (" + " AND ".join(
            f"{bucket.column} >= 0" for bucket in Bucket if bucket is not Bucket.ISSUED
        )
        try:
            ledger.tamper(
                "UPDATE holding SET frozen = -5, available = available + 5"
                " WHERE account_id = {plant}"
            )
            assert found()["negative"] == [f"{ledger.holding()} bucket 3: -5"]
        finally:
            connection.execute("SET session_replication_role = replica")
            connection.execute("DELETE FROM holding")
            connection.execute(f"ALTER TABLE holding ADD CONSTRAINT never_negative {definition})")


def test_an_edited_entry_is_found_by_balance_and_chain(ledger):
    ledger.tamper(
        "UPDATE entry SET delta = delta + 7, after = after + 7"
        " WHERE account_id = {plant} AND instrument_id = {cea} AND seq = 1"
    )

    faults = found()

    assert faults["balance"] == [f"{ledger.holding()} available: holds 540, entries say 547"]
    assert faults["entry_chain"] == [
        f"entry {ledger.plant}/{ledger.cea} seq 2: 707 + -100 is not 600"
    ]
    assert len(faults["movement_entries"]) == 1


def test_a_removed_entry_is_found(ledger):
    ledger.tamper("DELETE FROM entry WHERE account_id = {plant} AND seq = 3")

    faults = found()

    assert faults["entry_sequence"] == [f"entry {ledger.plant}/{ledger.cea} seq 4 after 2"]
    assert {"version", "movement_entries", "balance"} <= set(faults)


def test_time_running_backwards_is_found(ledger):
    ledger.tamper(
        "UPDATE entry SET at = at + interval '400 days' WHERE account_id = {plant} AND seq = 1"
    )

    assert set(found()) == {"entry_time", "moved_at"}


def test_an_entry_told_twice_is_found(ledger):
    ledger.tamper(
        "INSERT INTO entry SELECT account_id, instrument_id, seq + 1, movement_id, at, bucket,"
        " delta, after + delta FROM entry WHERE account_id = {other} AND seq = 3"
    )

    assert {"balance", "version", "movement_entries"} == set(found())


def test_a_changed_quantity_is_found_in_the_entries_and_by_the_seal(ledger):
    first = ledger.last("movement", f"to_account = {ledger.plant} AND from_account = 1")
    ledger.tamper(f"UPDATE movement SET quantity = 701 WHERE id = {first}")

    faults = found()

    assert faults["movement_entries"] == [f"movement {first} and its 2 entries disagree"]
    assert "rewritten" in faults["sealed_block"][0]


def test_a_movement_turned_to_another_bucket_is_found(ledger):
    last = ledger.last("movement")
    ledger.tamper(f"UPDATE movement SET to_bucket = 3 WHERE id = {last}")

    assert found()["movement_entries"] == [f"movement {last} and its 2 entries disagree"]


def test_a_missing_movement_is_found(ledger):
    last = ledger.last("movement")
    posting = ledger.last("posting")
    ledger.tamper(f"DELETE FROM movement WHERE id = {last}")

    faults = found()

    assert faults["movement_entries"] == [f"entries of movement {last}, which is not there"]
    assert faults["posting_movements"] == [f"posting {posting} has no movements"]
    assert "application_posting" in faults


def test_a_missing_sealed_movement_breaks_the_count_too(ledger):
    ledger.tamper("DELETE FROM movement WHERE id = (SELECT min(id) FROM movement)")

    assert {"sealed_block", "sealed_count"} <= set(found())


def test_a_movement_without_entries_is_found(ledger):
    ledger.tamper(
        "INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,"
        " to_account, to_bucket) SELECT max(id), now(), {cea}, 5, {plant}, 1, {plant}, 3 FROM posting"
    )

    assert found()["movement_entries"] == [f"movement {ledger.last('movement')} has no entries"]


def test_a_deleted_posting_is_found(ledger):
    posting = ledger.last("posting", "business = 'day_end'")
    movement = ledger.last("movement", f"posting_id = {posting}")
    ledger.tamper(f"DELETE FROM posting WHERE id = {posting}")

    faults = found()
    assert faults["movement_posting"] == [
        f"movement {movement} of posting {posting}, which is not there",
    ]
    assert set(faults) == {"movement_posting", "sealed_block"}


def test_a_posting_added_by_hand_is_found(ledger):
    ledger.tamper(
        "INSERT INTO posting (business, stage, request_key) VALUES ('issuance', 'approval', 'x')"
    )

    assert list(found()) == ["posting_movements", "posting_tie"]


def test_a_reversal_that_is_not_exact_is_found(ledger):
    reversal = ledger.last("posting", "reverses_id IS NOT NULL")
    ledger.tamper(f"UPDATE movement SET quantity = 39 WHERE posting_id = {reversal}")

    assert found()["reversal_exact"] == [f"posting {reversal} does not turn round what it reverses"]


def test_a_reversal_of_nothing_is_found(ledger):
    reversal = ledger.last("posting", "reverses_id IS NOT NULL")
    ledger.tamper(f"UPDATE posting SET reverses_id = 999999 WHERE id = {reversal}")

    assert {"reversal_exact", "posting_tie", "not_reversed", "sealed_block"} == set(found())


def test_a_second_reversal_is_found(ledger):
    with ledger.cluster.connect("registry") as connection:
        connection.execute("ALTER TABLE posting DROP CONSTRAINT posting_reverses_id_key")
        try:
            reversed_once = ledger.last("posting", "stage = 'submission'")
            ledger.tamper(
                "UPDATE posting SET reverses_id = (SELECT max(reverses_id) FROM posting)"
                f" WHERE id = {reversed_once}"
            )
            assert "reversed 2 times" in found()["reversal_single"][0]
        finally:
            connection.execute("SET session_replication_role = replica")
            connection.execute("UPDATE posting SET reverses_id = NULL")
            connection.execute(
                "ALTER TABLE posting ADD CONSTRAINT posting_reverses_id_key UNIQUE (reverses_id)"
            )


def test_a_consistent_rewrite_is_caught_by_the_seal_alone(ledger):
    """Movement, entries, balances and issuance account are changed consistently."""
    first = ledger.last("movement", f"to_account = {ledger.plant} AND from_account = 1")
    ledger.tamper(
        f"UPDATE movement SET quantity = 800 WHERE id = {first}",
        f"UPDATE entry SET delta = sign(delta) * 800 WHERE movement_id = {first}",
        "UPDATE entry SET after = after + 100 WHERE account_id = {plant} AND bucket = 1",
        "UPDATE entry SET after = after - 100 WHERE account_id = 1",
        "UPDATE holding SET available = available + 100 WHERE account_id = {plant}",
        "UPDATE holding SET issued = issued - 100 WHERE account_id = 1",
    )

    assert list(found()) == ["sealed_block"]


def test_a_movement_slipped_in_under_a_seal_is_found(ledger):
    ledger.tamper(
        "UPDATE movement SET recorded_xid = '1' WHERE id = (SELECT max(id) FROM movement)"
    )

    assert set(found()) == {"sealed_block", "sealed_count"}


def test_a_removed_block_breaks_the_chain(ledger):
    seal()
    ledger.tamper("DELETE FROM sealed_block WHERE id = (SELECT min(id) FROM sealed_block)")

    assert {"sealed_chain", "sealed_block"} == set(found())


def test_blocks_follow_one_another(ledger):
    assert seal() == 1
    assert seal() == 0

    report = verify_ledger()
    assert report.is_sound
    assert (report.sealed_blocks, report.unsealed_movements) == (2, 0)


def test_tonnes_held_for_no_application_are_found(ledger):
    ledger.tamper("UPDATE application SET status = 'withdrawn' WHERE status = 'pending_settlement'")

    faults = found()
    assert set(faults) == {"application_hold", "application_status", "not_reversed"}
    assert faults["application_hold"] == [
        f"{ledger.holding()} bucket 4: holds 60, open applications say 0"
    ]


def test_a_line_changed_after_submission_is_found(ledger):
    changed = ledger.last("application", "status = 'pending_settlement'")
    posting = ledger.last("posting", f"application_id = {changed}")
    ledger.tamper(f"UPDATE application_line SET quantity = 61 WHERE application_id = {changed}")

    assert found() == {
        "application_hold": [
            f"{ledger.holding()} bucket 4: holds 60, open applications say 61",
        ],
        "application_posting": [f"application {changed} and its posting disagree"],
        "posting_tie": [f"posting {posting} moves other tonnes than its application's lines"],
    }


# A kind that is not in the catalogue today ------------------------------------------------------


class Lien(Kind):
    """留置: tonnes are frozen for a creditor until they are released, in parts."""

    code = "lien"
    title = "Lien"
    prefix = "ZY"
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.FROZEN)


class Release(Kind):
    code = "release"
    title = "Release"
    prefix = "JZ"
    reviews = (Party.REGISTRY,)
    settles = (Bucket.FROZEN, Bucket.AVAILABLE)
    draws_on = "lien"


@pytest.fixture
def kept(ledger, monkeypatch):
    """A lien of 200 tonnes of which 50 were released."""
    known(monkeypatch, Lien, Release)
    officer, cea = member("registry_checker"), db.session.get_one(Instrument, ledger.cea)
    lien = submitted("lien", ledger.operator, {cea: 200})
    assert verify_ledger().is_sound  # It waits for its review, reserved.
    confirmed(lien.id, officer)
    line = ledger.last("application_line", f"application_id = {lien.id}")
    made = engine.Draft(
        "release", ledger.plant, (Line(ledger.cea, 50, source_line_id=line),), "release"
    )
    with transaction():
        actor = Actor.of(ledger.operator)
        (release,) = engine.start([made], actor, now=clock.now())
        engine.submit([release], actor, now=clock.now()).one()
    confirmed(release, officer)
    return line


def test_what_a_new_kind_holds_is_proved_by_its_data_alone(ledger, kept):
    assert verify_ledger().is_sound

    ledger.tamper(f"UPDATE application_line SET quantity = 199 WHERE id = {kept}")

    faults = found()
    assert faults["document_hold"] == [f"{ledger.holding()} bucket 3: holds 150, documents say 149"]


def test_more_drawn_from_a_line_than_it_holds_is_found(ledger, kept):
    ledger.tamper(f"UPDATE application_line SET quantity = 49 WHERE id = {kept}")

    assert found()["line_draw"] == [f"line {kept}: holds 49, drawn 50"]


def test_keys_are_capped_but_counted(ledger):
    ledger.tamper(
        "INSERT INTO posting (business, stage, request_key)"
        " SELECT 'x', 'approval', 'by hand ' || n FROM generate_series(1, 250) AS n"
    )

    report = verify_ledger()

    assert len(report.faults) == 2 * MOST_KEYS
    assert report.totals == {"posting_movements": 250, "posting_tie": 250}
