"""待办 and 已办: single and bulk decisions, and refusals."""

from __future__ import annotations

import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.models import Application
from tests.factories import draft, issued_to, member, quantity, submitted

KIND = "voluntary_cancellation"


@pytest.fixture
def cea(plant):
    return issued_to(plant, 3000)


@pytest.fixture
def case(operator, cea):
    return submitted(KIND, operator, {cea: 500}, reason="碳中和")


def status(case) -> str:
    db.session.expire_all()
    return db.session.get_one(Application, case.id).status


def held(plant, cea) -> tuple[int, int, int]:
    buckets = (Bucket.AVAILABLE, Bucket.RESERVED, Bucket.CANCELLED)
    return tuple(quantity(plant, cea, bucket) for bucket in buckets)


def test_what_is_submitted_is_held_and_waits_for_the_registry(plant, cea, case, officer, sign_in):
    assert held(plant, cea) == (2500, 500, 0)
    browser = sign_in(officer)

    assert case.number in browser.get("/reviews/").text
    assert "审核意见" in browser.get(f"/reviews/{case.id}").text
    assert 'class="count' in browser.get("/").text


def test_approval_cancels_for_good(plant, cea, case, officer, sign_in):
    browser = sign_in(officer)

    answer = browser.post(f"/reviews/{case.id}/decide", data={"decision": "approve"})

    assert answer.status_code == 302
    assert (status(case), held(plant, cea)) == ("approved", (2500, 0, 500))
    browser.get("/reviews/")  # It tells what was done, once.
    assert case.number not in browser.get("/reviews/").text
    assert case.number in browser.get("/reviewed/").text


def test_sending_back_needs_a_reason_and_frees_the_tonnes(plant, cea, case, officer, sign_in):
    browser = sign_in(officer)

    refused = browser.post(f"/reviews/{case.id}/decide", data={"decision": "send_back"})
    assert (refused.status_code, status(case)) == (400, "in_review")
    assert "请填写退回原因" in refused.text

    form = {"decision": "send_back", "comment": "请附证明"}
    assert browser.post(f"/reviews/{case.id}/decide", data=form).status_code == 302
    assert (status(case), held(plant, cea)) == ("returned", (3000, 0, 0))


def test_what_was_sent_back_is_changed_and_submitted_again(
    plant, operator, cea, case, officer, sign_in
):
    form = {"decision": "send_back", "comment": "数量有误"}
    sign_in(officer).post(f"/reviews/{case.id}/decide", data=form)
    again = {
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": "400",
        "reason": "碳中和",
        "submit": "1",
    }

    answer = sign_in(operator).post(f"/voluntary-cancellations/{case.id}/edit", data=again)

    assert answer.status_code == 302
    assert (status(case), held(plant, cea)) == ("in_review", (2600, 400, 0))


def test_many_are_decided_at_once_and_one_bad_item_stops_nobody(
    plant, operator, cea, case, officer, sign_in
):
    others = [submitted(KIND, operator, {cea: 10}, reason="碳中和") for _ in range(3)]
    ids = [each.id for each in (case, *others)]
    browser = sign_in(officer)
    form = {"action": "approve", "id": [str(id_) for id_ in ids] + ["999999"]}

    assert "4" in browser.post("/reviews/bulk", data=form).text
    browser.post(f"/reviews/{others[0].id}/decide", data={"decision": "approve"})
    done = browser.post("/reviews/bulk", data=form | {"count": "3"}).text

    assert "成功 3 条" in done
    assert "失败 2 条" in done
    assert held(plant, cea) == (2470, 0, 530)


def test_a_bulk_return_without_a_reason_asks_again(case, officer, sign_in):
    browser = sign_in(officer)
    form = {"action": "send_back", "id": str(case.id), "count": "1", "comment": " "}

    assert "请填写退回原因" in browser.post("/reviews/bulk", data=form).text
    assert status(case) == "in_review"


def test_a_bulk_return_for_a_reason_that_cannot_be_shown_asks_again(case, officer, sign_in):
    browser = sign_in(officer)
    form = {"action": "send_back", "id": str(case.id), "count": "1", "comment": "退\u202e回"}

    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in browser.post("/reviews/bulk", data=form).text
    assert status(case) == "in_review"


@pytest.mark.parametrize("decision", ["approve", "send_back"])
def test_a_comment_that_cannot_be_shown_is_refused_beside_the_application(
    case, officer, sign_in, decision
):
    form = {"decision": decision, "comment": "同\u202e意"}

    answer = sign_in(officer).post(f"/reviews/{case.id}/decide", data=form)

    assert answer.status_code == 400
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in answer.text
    assert status(case) == "in_review"


def test_a_reason_that_cannot_be_shown_is_refused_in_its_field(plant, operator, cea, sign_in):
    form = {"lines-0-choice": str(cea.id), "lines-0-quantity": "5", "submit": "1"}

    answer = sign_in(operator).post(
        "/voluntary-cancellations/new", data=form | {"reason": "碳\u202e中和"}
    )

    assert (answer.status_code, held(plant, cea)) == (400, (3000, 0, 0))
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in answer.text


def test_a_cancellation_without_a_reason_is_refused(plant, operator, cea, sign_in):
    form = {"lines-0-choice": str(cea.id), "lines-0-quantity": "5", "submit": "1"}

    answer = sign_in(operator).post("/voluntary-cancellations/new", data=form)

    assert (answer.status_code, held(plant, cea)) == (400, (3000, 0, 0))
    assert "请填写申请原因" in answer.text


@pytest.mark.parametrize("role", ["enterprise", "province", "auditor", "system_admin"])
def test_nobody_else_reviews(plant, case, sign_in, role):
    scope = {"of": plant} if role == "enterprise" else {}
    if role == "province":
        scope = {"province": plant.province}
    browser = sign_in(member(role, **scope))

    answer = browser.post(f"/reviews/{case.id}/decide", data={"decision": "approve"})

    assert answer.status_code in (302, 403, 404)
    assert status(case) == "in_review"


def test_a_draft_holds_nothing_and_is_not_reviewed(plant, operator, cea, officer, sign_in):
    made = draft(KIND, operator, {cea: 500}, reason="碳中和")

    assert held(plant, cea) == (3000, 0, 0)
    assert sign_in(officer).get(f"/reviews/{made}").status_code == 404
