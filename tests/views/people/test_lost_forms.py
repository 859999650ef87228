"""Forms sent after their session has ended: nothing is carried out, and the same member goes on with them."""

from __future__ import annotations

import io
import re
from html import unescape

import pytest
from sqlalchemy import func, select, text, update

from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    Attachment,
    LoginSession,
    Member,
    UnfinishedForm,
)
from app.operations.people import unfinished
from app.operations.people.members import NewMember, register_member
from app.operations.people.sessions import end_all
from tests import factories
from tests.files import pdf
from tests.security.conftest import ENTERPRISE, OTHER, PASSWORD, SYSTEM_ADMIN

NEW = "/voluntary-cancellations/new"
REASON = "写了半小时的原因：履行社会责任"


def shown(page) -> str:
    return unescape(page.text)


def value(page, name: str) -> str:
    field = re.search(rf'<input[^>]*\bname="{name}"[^>]*>', page.text)
    found = field and re.search(r'\bvalue="([^"]*)"', field[0])
    return unescape(found[1]) if found else ""


@pytest.fixture
def cea(app, people):
    plant = db.session.scalars(select(Account).where(Account.member_no == ENTERPRISE)).one()
    made = factories.instrument()
    factories.give(plant, made, 700)
    return made


def fields(cea, browser, **more) -> dict:
    page = browser.get(NEW)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    return {
        "csrf_token": token[1],
        "request_key": value(page, "request_key"),
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": "150",
        "reason": REASON,
        "submit": "1",
        **more,
    }


def go_idle(browser, people, new_browser) -> None:
    with transaction():
        db.session.execute(
            update(LoginSession).values(seen_at=func.now() - text("interval '1 hour'"))
        )


def be_forced_out(browser, people, new_browser) -> None:
    with transaction():
        end_all(people[ENTERPRISE], "forced")


def sign_in_elsewhere(browser, people, new_browser) -> None:
    new_browser().sign_in()


def have_another_tab_notice(browser, people, new_browser) -> None:
    """The other tab's request has cleared the cookie."""
    be_forced_out(browser, people, new_browser)
    assert browser.get("/").status_code == 302


ENDINGS = (go_idle, be_forced_out, sign_in_elsewhere, have_another_tab_notice)


@pytest.mark.parametrize("end", ENDINGS, ids=lambda each: each.__name__)
def test_the_member_finds_the_form_as_it_was(app, browser, people, new_browser, cea, end):
    browser.sign_in()
    sent = fields(cea, browser, attachments=(io.BytesIO(pdf()), "董事会决议.pdf"))
    end(browser, people, new_browser)

    away = browser.post(NEW, sent, content_type="multipart/form-data")
    assert (away.status_code, away.location) == (302, "/login/")
    assert f"请在一天内于本浏览器重新以 {ENTERPRISE} 登录" in shown(browser.get("/login/"))
    assert db.session.scalar(select(func.count()).select_from(Application)) == 0

    place = browser.sign_in().location
    assert place.startswith(f"{NEW}?form=")
    page = browser.get(place)
    assert "请核对后再次提交" in shown(page)
    assert (value(page, "lines-0-quantity"), value(page, "request_key")) == (
        "150",
        sent["request_key"],
    )
    assert REASON in shown(page)
    assert "董事会决议.pdf" in shown(page)
    assert db.session.scalar(select(func.count()).select_from(Application)) == 0

    again = {**sent, "csrf_token": browser.token(place)}
    del again["attachments"]
    assert browser.post(place, again).status_code == 302
    made = db.session.scalars(select(Application)).one()
    assert (made.status, made.reason) == ("in_review", REASON)
    names = select(Attachment.name).where(Attachment.application_id == made.id)
    assert db.session.scalars(names).all() == ["董事会决议.pdf"]
    # It leads there once.
    browser.submit("/", "/logout/")
    assert browser.sign_in().location == "/"


def test_a_form_of_before_is_shown_again_in_the_new_session(browser, people, new_browser, cea):
    """The member has signed in again in another tab."""
    browser.sign_in()
    sent = fields(cea, browser)
    have_another_tab_notice(browser, people, new_browser)
    browser.sign_in()

    place = browser.post(NEW, sent).location
    assert place.startswith(f"{NEW}?form=")
    assert REASON in shown(browser.get(place))
    assert db.session.scalar(select(func.count()).select_from(Application)) == 0


def test_nobody_else_finds_it(app, browser, people, new_browser, cea):
    browser.sign_in()
    sent = fields(cea, browser)
    be_forced_out(browser, people, new_browser)
    browser.post(NEW, sent)
    key = db.session.scalars(select(UnfinishedForm.request_key)).one()

    assert browser.sign_in(OTHER).location == "/"
    assert REASON not in shown(browser.get(f"{NEW}?form={key}"))
    browser.submit("/", "/logout/")
    # The same member elsewhere is not led there; in the same browser, later, still.
    assert new_browser().sign_in().location == "/"
    assert browser.sign_in().location == f"{NEW}?form={key}"


def test_another_members_form_is_refused_and_kept_for_its_member(browser, people, new_browser, cea):
    browser.sign_in()
    sent = fields(cea, browser)
    have_another_tab_notice(browser, people, new_browser)
    browser.sign_in(OTHER)

    answer = browser.post(NEW, sent)
    assert answer.status_code == 400
    assert REASON not in shown(answer)
    assert db.session.scalars(select(UnfinishedForm.member_id)).all() == [people[ENTERPRISE]]
    browser.submit("/", "/logout/")
    assert browser.sign_in().location.startswith(NEW)


@pytest.mark.parametrize(
    "token", ["", "made-up", "anonymous"], ids=["none", "invented", "of the sign-in page"]
)
def test_nothing_is_kept_without_a_token_of_the_member(browser, people, cea, token, count):
    token = browser.token("/login/") if token == "anonymous" else token
    answer = browser.post(NEW, {"reason": REASON, "csrf_token": token})
    assert answer.location == "/login/"
    assert "Set-Cookie" not in answer.headers or "_form=" not in answer.headers["Set-Cookie"]
    assert count(UnfinishedForm) == 0


def test_a_disabled_member_keeps_nothing(browser, people, new_browser, cea, count):
    browser.sign_in()
    sent = fields(cea, browser)
    with transaction():
        db.session.execute(
            update(Member).where(Member.id == people[ENTERPRISE]).values(active=False)
        )
    browser.post(NEW, sent)
    assert count(UnfinishedForm) == 0


def test_it_is_stored_encrypted_and_passwords_are_not(browser, people, new_browser):
    browser.sign_in()
    page = "/account-changes/new"
    sent = {
        "csrf_token": browser.token(page),
        "representative_phone": "13912345678",
        "reason": "换号",
    }
    passwords = {
        "csrf_token": browser.token("/password/"),
        "original": PASSWORD,
        "new": "Other-Horse-2",
    }
    be_forced_out(browser, people, new_browser)
    browser.post(page, sent)
    browser.post("/password/", passwords)

    stored = db.session.execute(text("SELECT content FROM unfinished_form")).scalars().all()
    assert len(stored) == 2
    assert not any("13912345678" in each or "换号" in each for each in stored)
    (typed,) = [
        each for each in db.session.scalars(select(UnfinishedForm.content)) if "换号" in each
    ]
    assert "13912345678" in typed
    assert not any("Horse" in each for each in db.session.scalars(select(UnfinishedForm.content)))
    # The last form leads on.
    place = browser.sign_in().location
    assert place == "/password/"
    assert "请在此重新办理" in shown(browser.get(place))
    keys = db.session.scalars(select(UnfinishedForm.request_key))
    pages = [browser.get(f"{page}?form={key}") for key in keys]
    assert any(value(each, "representative_phone") == "13912345678" for each in pages)


def test_small_forms_are_filled_in_too(browser, people, new_browser):
    browser.sign_in(SYSTEM_ADMIN)
    page = "/members/new"
    sent = {"csrf_token": browser.token(page), "number": "R0077", "name": "王经办"}
    with transaction():
        end_all(people[SYSTEM_ADMIN], "forced")
    browser.post(page, sent)
    place = browser.sign_in(SYSTEM_ADMIN).location
    answer = browser.get(place)
    assert (value(answer, "number"), value(answer, "name")) == ("R0077", "王经办")


def test_a_review_comment_is_found_again(browser, people, new_browser, cea):
    operator = db.session.get_one(Member, people[ENTERPRISE])
    made = factories.submitted("voluntary_cancellation", operator, {cea: 100}, reason="碳中和")
    with transaction():
        officer = register_member(
            NewMember("R0009", "复核", "registry_checker"), PASSWORD, must_change=False
        )
    browser.sign_in("R0009")
    page = f"/reviews/{made.id}"
    sent = {"csrf_token": browser.token(page), "decision": "send_back", "comment": "数量与附件不符"}
    with transaction():
        end_all(officer, "forced")
    browser.post(f"{page}/decide", sent)
    place = browser.sign_in("R0009").location
    assert place.startswith(f"{page}?form=")
    assert "数量与附件不符" in shown(browser.get(place))
    assert db.session.get_one(Application, made.id).status == "in_review"


def test_files_that_cannot_be_kept_are_named(browser, people, new_browser):
    with transaction():
        officer = register_member(
            NewMember("R0009", "经办", "registry_maker"), PASSWORD, must_change=False
        )
    browser.sign_in("R0009")
    page = "/issuances/import"
    sent = {"csrf_token": browser.token(page), "file": (io.BytesIO(b"a,b"), "分配表.csv")}
    with transaction():
        end_all(officer, "forced")
    browser.post(page, sent, content_type="multipart/form-data")
    place = browser.sign_in("R0009").location
    assert place.startswith(page)
    assert "请重新选择以下文件：分配表.csv" in shown(browser.get(place))


def test_what_has_no_form_leads_to_the_page_it_came_from(browser, people, new_browser, cea):
    operator = db.session.get_one(Member, people[ENTERPRISE])
    made = factories.submitted("voluntary_cancellation", operator, {cea: 100}, reason="碳中和")
    browser.sign_in()
    page = f"/voluntary-cancellations/{made.id}"
    token = browser.token(page)
    be_forced_out(browser, people, new_browser)
    browser.post(
        f"{page}/withdraw", {"csrf_token": token}, headers={"Referer": f"http://localhost{page}"}
    )
    assert browser.sign_in().location == page
    assert db.session.get_one(Application, made.id).status == "in_review"


def test_it_is_bounded(app, people):
    member = people[ENTERPRISE]
    with transaction():
        for number in range(unfinished.MOST + 5):
            assert unfinished.keep(member, f"form-number-{number}", [("reason", "x")])
            db.session.execute(
                text("UPDATE unfinished_form SET kept_at = kept_at - interval '1 minute'")
            )
        assert not unfinished.keep(member, "too-long-a-form", [("x", "y" * unfinished.LONGEST)])
        assert not unfinished.keep(member, "not-a-text-at-all", [("x", "\x00")])
    kept = set(db.session.scalars(select(UnfinishedForm.request_key)))
    assert kept == {f"form-number-{number}" for number in range(5, unfinished.MOST + 5)}


def test_after_a_day_it_is_gone(browser, people, new_browser, cea):
    browser.sign_in()
    sent = fields(cea, browser)
    be_forced_out(browser, people, new_browser)
    browser.post(NEW, sent)
    with transaction():
        db.session.execute(text("UPDATE unfinished_form SET kept_at = now() - interval '25 hours'"))
    assert browser.sign_in().location == "/"
