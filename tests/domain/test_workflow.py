"""The life of an application: every status against every action."""

from __future__ import annotations

import pytest

from app.domain.errors import NotAllowed
from app.domain.workflow import (
    ACTION_TITLES,
    STATUS_TITLES,
    STATUS_TONES,
    Action,
    Case,
    Status,
    require,
)

ALLOWED = {
    (Status.DRAFT, Action.SAVE),
    (Status.DRAFT, Action.SUBMIT),
    (Status.DRAFT, Action.WITHDRAW),
    (Status.DRAFT, Action.DISCARD),
    (Status.RETURNED, Action.SAVE),
    (Status.RETURNED, Action.SUBMIT),
    (Status.IN_REVIEW, Action.APPROVE),
    (Status.IN_REVIEW, Action.SEND_BACK),
    (Status.IN_REVIEW, Action.WITHDRAW),
    (Status.PENDING_SETTLEMENT, Action.WITHDRAW),
}
# A refusal is recorded where a submission is possible, and asks for that.
ASKED = [action for action in Action if action is not Action.REFUSE]


@pytest.mark.parametrize("action", ASKED)
@pytest.mark.parametrize("status", list(Status))
def test_what_may_be_done_in_each_status(status, action):
    case = Case(id=1, kind="x", number="DJ202600000001", account_id=7, status=status)

    if (status, action) in ALLOWED:
        require(case, action)
    else:
        with pytest.raises(NotAllowed, match="DJ202600000001") as refusal:
            require(case, action)
        assert refusal.value.code == "wrong_status"


OPEN = (Status.IN_REVIEW, Status.PENDING_SETTLEMENT)
FINAL = (Status.APPROVED, Status.WITHDRAWN, Status.REFUSED)


def test_nothing_can_be_done_to_a_final_application():
    assert not {(status, action) for status, action in ALLOWED if status in FINAL}


def test_every_open_application_can_be_withdrawn():
    assert all((status, Action.WITHDRAW) in ALLOWED for status in OPEN)


def test_every_status_and_action_has_its_words():
    assert set(STATUS_TITLES) == set(STATUS_TONES) == set(Status)
    assert set(ACTION_TITLES) == set(Action)
