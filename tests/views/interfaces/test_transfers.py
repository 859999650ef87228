"""Transfers by the interface: lists with a result each, repetition, faults, and reading back."""

from __future__ import annotations

import json

import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.models import Application, ApplicationEvent, MachineAnswer, OperationLog
from app.operations.ledger import settlement
from app.operations.records.actor import SYSTEM
from tests.factories import account, at, give, instrument, nothing_moves, quantity
from tests.operations.machines import registered


def results(answer):
    assert answer.status_code == 200, answer.text
    return answer.json["transfers"]


def faults(answer, status=422):
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status
    return [(each["field"], each["code"]) for each in answer.json["errors"]]


def test_one_transfer_leaves_at_once_and_says_what_is_left(machine, transfer, permitted, cea):
    (found,) = results(machine.post(transfer()))

    assert found["state"] == "pending_settlement"
    assert (found["settles_on"], found["venue_code"]) == ("2026-11-20", "ZGW")
    assert found["trade_code"] == "CEA"
    assert found["balances"] == {
        "available": 600, "pending_to_trading": 100, "trading": 0, "pending_to_registry": 0,
    }  # fmt: skip
    assert quantity(permitted, cea, Bucket.PENDING_TO_TRADING) == 100


def test_each_of_a_list_has_its_result(machine, transfer, permitted):
    sent = [
        transfer("T1", 400),
        transfer("T2", 301),
        transfer("T3", 1, member_no="nobody"),
        transfer("T4", 1, instrument_code="nothing"),
        transfer("T5", 300),
    ]
    found = results(machine.post(*sent))

    assert [each["request_no"] for each in found] == ["T1", "T2", "T3", "T4", "T5"]
    assert [each["refusal"] and each["refusal"]["code"] for each in found] == [
        None, "insufficient_quantity", "member_unknown", "instrument_unknown", None,
    ]  # fmt: skip
    assert found[1]["refusal"]["field"] == "quantity"
    assert "301" in found[1]["refusal"]["detail"]
    assert found[4]["balances"]["available"] == 0


def test_without_the_permission_it_is_refused_in_chinese(machine, plant, cea):
    with nothing_moves():
        (found,) = results(
            machine.post({"request_no": "T1", "direction": "in", "member_no": plant.member_no,
                          "instrument_code": cea.code, "quantity": 1})
        )  # fmt: skip
    assert found["refusal"]["code"] == "transfer_not_permitted"
    assert "划转权限" in found["refusal"]["detail"]


def test_the_log_names_the_client(machine, transfer):
    results(machine.post(transfer()))
    line = (
        db.session.query(OperationLog)
        .filter(OperationLog.action.like("%.submit"))
        .order_by(OperationLog.id)
        .all()[-1]
    )
    assert (line.member_no, line.member_id) == ("SHEX01", None)
    assert {each.member_name for each in db.session.query(ApplicationEvent).filter(
        ApplicationEvent.member_id.is_(None))} == {"交易系统"}  # fmt: skip


def test_the_same_key_is_answered_alike_and_moves_nothing(machine, transfer):
    first = machine.post(transfer(), key="k1")
    with nothing_moves():
        again = machine.post(transfer(), key="k1")
    assert again.data == first.data
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert db.session.query(MachineAnswer).count() == 1


def test_the_same_key_with_another_body_is_refused(machine, transfer):
    machine.post(transfer(), key="k1")
    with nothing_moves():
        answer = machine.post(transfer("T2"), key="k1")
    assert faults(answer, 409) == [("Idempotency-Key", "idempotency_key_reused")]


def test_keys_and_numbers_are_each_client_s_own(app, machine, transfer):
    other = registered(app, "SHEX02").sign_in()
    one, two = machine.post(transfer(), key="k1"), other.post(transfer(), key="k1")
    assert results(one)[0]["number"] != results(two)[0]["number"]
    assert (
        other.call("GET", "/transfers").json["transfers"][0]["number"]
        == two.json["transfers"][0]["number"]
    )
    assert len(machine.call("GET", "/transfers").json["transfers"]) == 1


def test_a_number_used_before_with_other_content_is_refused(machine, transfer):
    machine.post(transfer())
    with nothing_moves():
        (found,) = results(machine.post(transfer(quantity=101)))
    assert (found["refusal"]["code"], found["number"]) == ("request_no_reused", "")


def test_what_is_read_back_can_be_written_again(machine, transfer):
    results(machine.post(transfer()))
    read = machine.call("GET", "/transfers/T1").json
    with nothing_moves():
        (again,) = results(machine.post(read))
    assert again == read
    assert db.session.query(Application).filter_by(kind="exchange_registry_to_trading").count() == 1


def test_after_the_day_end_it_is_settled(machine, transfer):
    machine.post(transfer())
    settlement.settle_day(at("15:00").date(), SYSTEM, now=at("15:30"))
    db.session.commit()
    found = machine.call("GET", "/transfers/T1").json
    assert (found["state"], found["balances"]["trading"]) == ("settled", 100)
    assert machine.call("GET", "/transfers?state=settled").json["transfers"] == [found]
    assert machine.call("GET", "/transfers?state=refused").json["transfers"] == []


def test_what_leaves_trading_needs_no_permission(machine, plant, cea):
    give(plant, cea, 50, Bucket.TRADING)
    (found,) = results(
        machine.post({"request_no": "T1", "direction": "out", "member_no": plant.member_no,
                      "instrument_code": cea.code, "quantity": 50})
    )  # fmt: skip
    assert found["balances"]["pending_to_registry"] == 50


def test_pages_follow_each_other(machine, transfer):
    machine.post(*(transfer(f"T{n}", 1) for n in range(5)))
    found, cursor = [], ""
    for _page in range(3):
        query = f"?limit=2&cursor={cursor}" if cursor else "?limit=2"
        page = machine.call("GET", f"/transfers{query}").json
        found += [each["request_no"] for each in page["transfers"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == ([f"T{n}" for n in range(5)], None)


def test_a_trade_code_stands_for_its_instrument(machine, transfer, cea):
    sent = transfer(trade_code="CEA")
    del sent["instrument_code"]
    assert results(machine.post(sent))[0]["instrument_code"] == cea.code
    instrument("另一标的", trade_code="CEA")
    sent["request_no"] = "T2"
    assert faults(machine.post(sent)) == [("transfers[0].trade_code", "trade_code_ambiguous")]


def test_faults_are_named_all_at_once(machine, transfer):
    sent = [
        transfer("T 1", 0, direction="sideways", colour="red"),
        {"request_no": "T2"},
        transfer("T3", venue_code="OTHER"),
        7,
    ]
    assert sorted(faults(machine.post(*sent))) == sorted([
        ("transfers[0].request_no", "wrong_characters"),
        ("transfers[0].quantity", "out_of_range"),
        ("transfers[0].direction", "unknown_value"),
        ("transfers[0].colour", "unknown_field"),
        ("transfers[1].direction", "required"),
        ("transfers[1].member_no", "required"),
        ("transfers[1].quantity", "required"),
        ("transfers[3]", "wrong_type"),
    ])  # fmt: skip
    assert faults(
        machine.post(transfer("T3", venue_code="OTHER"), transfer("T4", trade_code="X"))
    ) == [
        ("transfers[0].venue_code", "venue_differs"),
        ("transfers[1].trade_code", "trade_code_unknown"),
    ]
    assert db.session.query(MachineAnswer).count() == 0


@pytest.mark.parametrize(
    "value",
    [2**63, -1, 0, 1.5, 1e300, True, "100", "１００", "1 00", None, [], {}, 10**12 + 1, ""],
)
def test_a_quantity_is_a_number_of_tonnes(machine, transfer, value):
    with nothing_moves():
        ((field, _code),) = faults(machine.post(transfer(quantity=value)))
    assert field == "transfers[0].quantity"


@pytest.mark.parametrize(
    "value", ["", "\x00", "\ud800", "x" * 61, "甲", "a/b", "\u202e", 7, None, []]
)
def test_a_number_is_of_characters_that_can_be_stored(machine, transfer, value):
    ((field, _code),) = faults(machine.post(transfer(request_no=value)))
    assert field == "transfers[0].request_no"


BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "NaN": b'{"transfers": [NaN]}',
    "Infinity": b'{"transfers": [Infinity]}',
    "deep": b"[" * 5000,
    "deep and closed": b"[" * 900 + b"]" * 900,
    "a long number": b'{"transfers": ' + b"9" * 5000 + b"}",
    "not UTF-8": b'{"a": "\xff"}',
    "a name twice": b'{"transfers": [], "transfers": []}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_is_no_json_is_said_as_such(machine, body):
    answer = machine.call("POST", "/transfers", data=body, content_type="application/json",
                          headers={"Idempotency-Key": "k"})  # fmt: skip
    assert faults(answer, 400) == [("", "malformed_json")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[]", [("", "wrong_type")]),
        ("{}", [("transfers", "required")]),
        ('{"transfers": null}', [("transfers", "invalid")]),
        ('{"transfers": []}', [("transfers", "wrong_length")]),
        ('{"transfers": {}}', [("transfers", "invalid")]),
        ('{"transfers": [null]}', [("transfers[0]", "wrong_type")]),
        ('{"\\ud800": 1, "transfers": []}', [("?", "unknown_field")]),
        ('"\\u0000"', [("", "wrong_type")]),
    ],
)
def test_a_body_of_another_form_is_refused(machine, body, expected):
    answer = machine.call("POST", "/transfers", data=body, content_type="application/json",
                          headers={"Idempotency-Key": "k"})  # fmt: skip
    assert [field for field, _code in faults(answer)] == [field for field, _code in expected]


def test_type_size_key_and_method_are_refused_as_such(app, machine, transfer):
    sent = {"Idempotency-Key": "k"}
    answer = machine.call("POST", "/transfers", data="x", content_type="text/plain", headers=sent)
    assert faults(answer, 415) == [("Content-Type", "wrong_type")]
    large = json.dumps({"x": "y" * app.config["MACHINE_BODY_BYTES"]})
    answer = machine.call(
        "POST", "/transfers", data=large, content_type="application/json", headers=sent
    )
    assert faults(answer, 413) == [("", "too_large")]
    answer = machine.call("POST", "/transfers", json={"transfers": [transfer()]})
    assert faults(answer, 400) == [("Idempotency-Key", "required")]
    answer = machine.call("DELETE", "/transfers")
    assert faults(answer, 405) == [("", "method_not_allowed")]
    assert "POST" in answer.headers["Allow"]
    assert faults(machine.call("GET", "/nowhere"), 404) == [("", "not_found")]
    assert faults(machine.call("GET", "/transfers/T9"), 404) == [("request_no", "not_found")]
    assert sorted(faults(machine.call("GET", "/transfers?limit=0&x=1&state=new"))) == [
        ("limit", "out_of_range"), ("state", "unknown_value"), ("x", "unknown_field"),
    ]  # fmt: skip
    answer = machine.call("GET", "/transfers?limit=1&limit=2&cursor=forged")
    assert faults(answer) == [("limit", "parameter_twice")]
    assert faults(machine.call("GET", "/transfers?cursor=forged")) == [("cursor", "cursor_unknown")]


def test_a_thousand_are_taken_and_no_more(machine, transfer):
    give_enough = [transfer(f"T{n}", 1, member_no="nobody") for n in range(1001)]
    assert faults(machine.post(*give_enough)) == [("transfers", "wrong_length")]
    assert len(results(machine.post(*give_enough[:1000]))) == 1000


def test_an_account_of_another_member_is_not_moved(machine, transfer, cea):
    other = account("乙水泥有限公司")
    with nothing_moves():
        (found,) = results(machine.post(transfer(member_no=other.member_no)))
    assert found["refusal"]["code"] == "transfer_not_permitted"
    assert found["balances"] is None
