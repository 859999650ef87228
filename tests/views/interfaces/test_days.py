"""A whole day through the interface: the package, its result, the confirmation, what was delivered."""

from __future__ import annotations

import base64

import pytest

from app.extensions import transaction
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, packages
from tests.markets import EVENING, Market
from tests.operations.machines import registered

DAY = "/days/2026-11-20"


@pytest.fixture
def market(app, tables) -> Market:
    with transaction():
        clock.set_to(EVENING, SYSTEM)
    found = Market(tables)
    seller = found.participant("甲发电有限公司", tonnes=1_000)
    buyer = found.participant("乙钢铁有限公司", yuan="80000")
    for _number in range(3):
        found.deal(seller, buyer, 100, "80.00")
    return found


@pytest.fixture
def exchange(app, market):
    return registered(app).sign_in()


def hand_in(exchange, content: bytes, address: str = DAY):
    headers = {"Content-Type": "application/zip"}
    return exchange.call("PUT", address, data=content, headers=headers)


def confirm(exchange, state: dict, signature: bytes):
    body = {"settlement": state["settlement"], "signature": base64.b64encode(signature).decode()}
    return exchange.call("POST", f"{DAY}/confirmation", json=body)


def read(exchange, address: str = DAY):
    return exchange.call("GET", address)


def test_a_day_is_handed_in_confirmed_and_delivered(market, exchange, maker, checker):
    content = market.package()
    first, again = hand_in(exchange, content), hand_in(exchange, content)
    assert (first.status_code, first.json["state"]) == (200, "received")
    assert again.json == first.json

    package_id = delivery_id(market)
    with transaction():
        settlement = clearing.propose(package_id, Actor.of(maker), now=EVENING)
        engine.submit([settlement], Actor.of(maker), now=EVENING).one()
    state = read(exchange).json
    assert state["state"] == "awaits_confirmation"
    signature = market.key.signature(state["result_text"].encode())
    assert confirm(exchange, state, signature).json["state"] == "confirmed"
    assert confirm(exchange, state, signature).json["state"] == "confirmed"

    with transaction():
        engine.approve([settlement], Actor.of(checker), now=EVENING).one()
    assert read(exchange).json["state"] == "approved"
    with transaction():
        delivery.deliver_some(package_id, SYSTEM, now=EVENING)
    done = read(exchange).json
    assert (done["state"], done["delivered"], done["short"]) == ("delivered", 3, 0)
    page = read(exchange, f"{DAY}/trades?limit=2").json
    rest = read(exchange, f"{DAY}/trades?limit=2&cursor={page['next_cursor']}").json
    deals = [(each["deal_no"], each["state"]) for each in page["trades"] + rest["trades"]]
    assert deals == [(f"D00000{n}", "delivered") for n in (1, 2, 3)]
    assert rest["next_cursor"] is None


def delivery_id(market: Market) -> int:
    return packages.package_of(market.venue_id, EVENING.date()).id


def test_every_fault_of_a_package_is_answered_with_its_place(market, exchange):
    a, b = market.participants
    market.deal(a, b, 10, "80.00", cells={"amount": "800.01"})
    market.deal(a, b, 10, "80.00", cells={"trade_code": "CEA99"})
    answer = hand_in(exchange, market.package())
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    found = {(each["field"], each["code"]) for each in answer.json["errors"]}
    assert ("DEAL[4].amount", "amount_differs") in found
    assert ("DEAL[5].trade_code", "trade_code_unknown") in found
    assert "800.01" in str(answer.json)
    assert read(exchange).status_code == 404


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"\x00" * 50])
def test_another_body_is_no_package(exchange, content):
    assert hand_in(exchange, content).status_code == 422


def test_what_is_no_zip_or_of_another_day_is_refused(market, exchange):
    assert exchange.call("PUT", DAY, json={}).status_code == 415
    answer = hand_in(exchange, market.package(), "/days/2026-11-19")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "day_differs")
    assert read(exchange).status_code == 404, "nothing is kept of it"
    assert read(exchange, "/days/yesterday").status_code == 404


def test_another_result_or_signature_confirms_nothing(market, exchange, maker):
    hand_in(exchange, market.package())
    with transaction():
        settlement = clearing.propose(delivery_id(market), Actor.of(maker), now=EVENING)
        engine.submit([settlement], Actor.of(maker), now=EVENING).one()
    state = read(exchange).json
    wrong = confirm(exchange, state, market.key.signature(b"another result"))
    assert (wrong.status_code, wrong.json["errors"][0]["code"]) == (409, "signature_refused")
    assert confirm(exchange, state | {"settlement": "QS1"}, b"x").status_code == 404
    body = {"settlement": state["settlement"], "signature": "A"}
    answer = exchange.call("POST", f"{DAY}/confirmation", json=body)
    assert answer.json["errors"][0]["code"] == "signature_malformed"
    assert read(exchange).json["state"] == "awaits_confirmation"


def test_a_second_package_of_a_day_is_refused(market, exchange):
    assert hand_in(exchange, market.package()).status_code == 200
    market.deal(*market.participants, 10, "80.00")
    answer = hand_in(exchange, market.package())
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (409, "package_differs")
