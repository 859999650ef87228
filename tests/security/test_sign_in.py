"""Signing in: refusals look alike, and guesses are limited."""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from app.domain.parameters import PARAMETERS
from app.extensions import db
from app.models import Captcha, LoginFailure, LoginRecord, LoginSession, Member
from app.operations.people import passwords
from app.pki.errors import PkiError
from app.security import captcha, lockout
from tests.security.conftest import ENTERPRISE, OTHER, PASSWORD, fail

FULL_WIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in ENTERPRISE)
BAD_NUMBERS = [
    ENTERPRISE + " ",
    " " + ENTERPRISE,
    FULL_WIDTH,
    f"{ENTERPRISE}@members.invalid",
    "' OR 1=1--",
    f"{ENTERPRISE}\x00",
    "\x00",
    "\ufffd",
    "%",
    "2104230000_",
    "7" * 10_000,
    "不存在",
]


def test_the_right_number_and_password_sign_in(browser, count):
    response = browser.sign_in()

    assert response.status_code == 302
    assert response.headers["Location"] == "/"
    assert browser.is_signed_in()
    assert count(LoginRecord, LoginRecord.is_success) == 1
    assert count(LoginFailure) == 0


@pytest.mark.parametrize("member_no", BAD_NUMBERS)
def test_only_the_exact_number_signs_in(browser, count, said, member_no):
    wrong = said(browser.sign_in(ENTERPRISE, "Wrong-Horse-1"))
    response = browser.sign_in(member_no)

    assert response.status_code == 422
    assert said(response) == wrong
    assert not browser.is_signed_in()
    assert count(LoginSession) == 0
    assert count(LoginRecord, ~LoginRecord.is_success) == 2


@pytest.mark.parametrize(
    "password",
    ["Wrong-Horse-1", PASSWORD + " ", PASSWORD + "\x00", "x" * 129, "y" * 10_000, "🐎" * 10],
)
def test_a_wrong_password_is_refused(browser, count, password):
    response = browser.sign_in(ENTERPRISE, password)

    assert response.status_code == 422
    assert not browser.is_signed_in()
    assert count(LoginSession) == 0


@pytest.mark.parametrize("fields", [{"member_no": ""}, {"password": ""}])
def test_an_empty_field_is_pointed_out_and_costs_no_guess(browser, count, fields):
    response = browser.submit(
        "/login/", **{"member_no": ENTERPRISE, "password": PASSWORD, **fields}
    )

    assert response.status_code == 422
    assert "aria-invalid" in response.text
    assert count(LoginFailure) == 0
    assert count(LoginSession) == 0


def test_a_password_is_never_shown_again(browser):
    response = browser.sign_in(ENTERPRISE, "Wrong-Horse-77")
    assert "Wrong-Horse-77" not in response.text


def test_without_its_token_the_form_is_refused(browser, count):
    browser.get("/login/")
    with_none = browser.post("/login/", {"member_no": ENTERPRISE, "password": PASSWORD})
    with_foreign = browser.post(
        "/login/", {"member_no": ENTERPRISE, "password": PASSWORD, "csrf_token": "x.y.z"}
    )

    assert with_none.status_code == with_foreign.status_code == 400
    assert count(LoginRecord) == count(LoginSession) == 0


def test_a_disabled_member_is_refused_like_an_unknown_one(browser, execute, count, said):
    execute(update(Member).where(Member.username == OTHER).values(active=False))

    assert said(browser.sign_in(OTHER)) == said(browser.sign_in("21042399999"))
    assert count(LoginSession) == 0
    assert count(LoginRecord, LoginRecord.outcome == "inactive") == 1


def test_after_five_failures_the_right_password_is_refused_from_that_address(
    browser, new_browser, count, said
):
    refusals = [said(browser.sign_in(ENTERPRISE, f"Wrong-Horse-{n}")) for n in range(5)]
    locked = browser.sign_in()

    assert said(locked) == refusals[0]
    assert locked.status_code == 422
    assert count(LoginSession) == 0
    assert count(LoginRecord, LoginRecord.outcome == "locked") == 1
    assert new_browser(browser.address).sign_in(OTHER).status_code == 302  # Nobody else is locked,
    assert new_browser("203.0.113.9").sign_in().status_code == 302  # and this one only from there.


def test_an_unknown_number_is_locked_like_a_known_one(browser, count):
    for n in range(7):
        browser.sign_in("21042399999", f"Wrong-Horse-{n}")

    assert count(LoginRecord, LoginRecord.outcome == "unknown") == 5
    assert count(LoginRecord, LoginRecord.outcome == "locked") == 2


def test_the_lock_opens_after_fifteen_minutes(browser, age_failures):
    for n in range(5):
        browser.sign_in(ENTERPRISE, f"Wrong-Horse-{n}")
    age_failures(lockout.window(db.session) + timedelta(seconds=1))

    assert browser.sign_in().status_code == 302


def test_success_clears_the_failures_from_there_and_no_others(browser, new_browser, count):
    stranger = new_browser("203.0.113.9")
    stranger.sign_in(ENTERPRISE, "Wrong-Horse-1")
    for _ in range(2):
        for n in range(4):
            browser.sign_in(ENTERPRISE, f"Wrong-Horse-{n}")
        assert browser.sign_in().status_code == 302
        browser.submit("/", "/logout/")
        browser.client.delete_cookie("device", path="/login/")

    left = count(LoginFailure, LoginFailure.key.startswith("pair:"))
    assert left == count(LoginFailure, LoginFailure.key == f"pair:{ENTERPRISE} 203.0.113.9") == 1


def test_one_address_has_fifty_guesses_over_all_members(browser, new_browser, count):
    fail(browser.address, 50)

    assert browser.sign_in().status_code == 422
    assert count(LoginSession) == 0
    assert new_browser().sign_in().status_code == 302


def test_a_forwarded_address_is_not_believed(browser, count):
    browser.post(
        "/login/",
        {"csrf_token": browser.token("/login/"), "member_no": "x", "password": "Wrong-Horse-1"},
        headers={"X-Forwarded-For": "203.0.113.77"},
    )

    assert count(LoginRecord, LoginRecord.ip == browser.address) == 1
    assert count(LoginFailure, LoginFailure.key == f"ip:{browser.address}") == 1


def test_guesses_at_the_same_time_do_not_outnumber_the_limit(app, new_browser, count, monkeypatch):
    compared = []
    is_right = passwords.is_right

    def counting(stored, password):
        if stored:
            compared.append(password)
        return is_right(stored, password)

    monkeypatch.setattr(passwords, "is_right", counting)
    browsers = [new_browser("203.0.113.9") for _ in range(20)]
    tokens = [browser.token("/login/") for browser in browsers]
    start = threading.Barrier(len(browsers))

    def guess(browser, token, n):
        start.wait()
        browser.post(
            "/login/",
            {"csrf_token": token, "member_no": ENTERPRISE, "password": f"Wrong-Horse-{n}"},
        )

    threads = [
        threading.Thread(target=guess, args=(browser, token, n))
        for n, (browser, token) in enumerate(zip(browsers, tokens, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(compared) == PARAMETERS["lock_failures"].default
    assert count(LoginRecord, ~LoginRecord.is_success) == 20
    assert count(LoginFailure, LoginFailure.key == f"member:{ENTERPRISE}") == 5


def test_the_last_guess_waits_for_the_one_before_it(app, people, count):
    """Fails without the advisory lock in take_guess: the fifth is then counted too late."""
    for _each in range(4):
        assert lockout.take_a_guess(ENTERPRISE, lockout.Source("203.0.113.9"))
    taken = []

    def take():
        with app.app_context():
            taken.append(lockout.take_a_guess(ENTERPRISE, lockout.Source("203.0.113.9")))

    with db.engine.connect() as first:
        key = f"pair:{ENTERPRISE} 203.0.113.9"
        values = {"keys": [key], "owners": [ENTERPRISE], "limits": [5], "since": timedelta(hours=1)}
        assert first.scalar(lockout._TAKE, values)
        second = threading.Thread(target=take)
        second.start()
        second.join(0.3)
        assert second.is_alive()
        first.commit()
    second.join(30)

    assert taken == [None]
    assert count(LoginFailure, LoginFailure.key == key) == 5


def test_every_refusal_takes_one_comparison(browser, monkeypatch):
    """Unknown, wrong and locked take the same time."""
    costs = []
    check = passwords.check_password_hash
    monkeypatch.setattr(
        passwords,
        "check_password_hash",
        lambda stored, password: costs.append(stored.split("$")[0]) or check(stored, password),
    )
    browser.sign_in(ENTERPRISE, "Wrong-Horse-1")
    browser.sign_in("21042399999", "Wrong-Horse-1")
    for n in range(5):
        browser.sign_in(OTHER, f"Wrong-Horse-{n}")
    browser.sign_in(OTHER)  # Locked by now.

    assert len(costs) == 8
    assert len(set(costs)) == 1


def test_control_characters_are_replaced_in_the_log(browser, app):
    browser.sign_in("x\r\nroot signed in\x00\u202e", "Wrong-Horse-1")

    with app.app_context():
        written = db.session.scalars(select(LoginRecord.member_no)).one()
    assert written == "x??root signed in??"


def test_no_table_of_sign_in_holds_a_password(browser, app):
    browser.sign_in(ENTERPRISE, "Secret-Typo-99")
    browser.sign_in("Secret-Typo-99-no", "Secret-Typo-99")

    with app.app_context():
        for columns in ("key, member_no FROM login_failure", "* FROM login_session",
                        "* FROM operation_log"):  # fmt: skip
            rows = db.session.execute(text(f"SELECT {columns}")).all()
            assert "Secret-Typo-99" not in str(rows).replace("Secret-Typo-99-no", "")


# Where it leads


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\tevil",
        "/%0d%0aSet-Cookie:x=1/../\r\nx",
        "http:evil",
        "/logout/",
    ],
)
def test_sign_in_leads_to_no_foreign_page(browser, target):
    assert browser.sign_in(next=target).headers["Location"] == "/"


def test_sign_in_leads_back_to_the_page_that_was_asked_for(browser):
    turned_away = browser.get("/password/?a=1&b=%E4%B8%AD")
    assert turned_away.headers["Location"].startswith("/login/?next=")

    response = browser.sign_in(next="/password/?a=1")
    assert response.headers["Location"] == "/password/?a=1"


def test_a_foreign_host_name_is_refused(browser):
    assert browser.get("/login/", headers={"Host": "evil.example"}).status_code == 400


# 验证码


@pytest.mark.usefixtures("with_captcha")
class TestCaptcha:
    def answer(self, browser):
        browser.open_token = browser.token("/login/")
        return browser.captcha()

    def send(self, browser, answer, **fields):
        """Send the form of the current page; opening it again would make another 验证码."""
        form = {"member_no": ENTERPRISE, "password": PASSWORD, "captcha": answer, **fields}
        return browser.post("/login/", {"csrf_token": browser.open_token, **form})

    def test_the_right_answer_is_let_through(self, browser):
        _id, answer = self.answer(browser)
        assert self.send(browser, answer).status_code == 302

    def test_full_width_digits_are_the_same_answer(self, browser):
        _id, answer = self.answer(browser)
        wide = "".join(chr(ord(digit) + 0xFEE0) for digit in answer)
        assert self.send(browser, f" {wide} ").status_code == 302

    def test_the_answer_is_kept_nowhere(self, app, browser):
        """It is derived from the id with the SECRET_KEY."""
        captcha_id, answer = self.answer(browser)
        assert set(Captcha.__table__.columns.keys()) == {"id", "created_at", "sound"}
        assert answer == captcha.answer(captcha_id, app.config["SECRET_KEY"])
        others = {captcha.answer(captcha_id, f"{n}" * 40) for n in range(9)}
        assert len(others) > 5
        assert all(re.fullmatch(f"[{captcha.ALPHABET}]{{4}}", each) for each in others)

    @pytest.mark.parametrize("answer", ["", "0", "x" * 10_000, "\x00", "\ufffd"])
    def test_a_wrong_answer_is_refused_before_the_password_is_looked_at(
        self, browser, count, monkeypatch, answer
    ):
        monkeypatch.setattr(passwords, "is_right", lambda *_: pytest.fail("looked at"))
        self.answer(browser)
        response = self.send(browser, answer)

        assert response.status_code == 422
        assert count(LoginSession) == count(LoginFailure, LoginFailure.member_no.is_not(None)) == 0
        assert count(LoginRecord, LoginRecord.outcome == "wrong_captcha") == 1

    def test_it_is_accepted_once_even_with_a_replayed_cookie(self, app, browser, count):
        _id, answer = self.answer(browser)
        cookie = browser.client.get_cookie(app.config["SESSION_COOKIE_NAME"]).value
        assert self.send(browser, answer, password="Wrong-Horse-1").status_code == 422
        browser.client.set_cookie(app.config["SESSION_COOKIE_NAME"], cookie)

        assert self.send(browser, answer).status_code == 422
        assert count(LoginSession) == 0

    def test_a_wrong_answer_uses_it_up(self, app, browser, count):
        _id, answer = self.answer(browser)
        cookie = browser.client.get_cookie(app.config["SESSION_COOKIE_NAME"]).value
        self.send(browser, "no")
        browser.client.set_cookie(app.config["SESSION_COOKIE_NAME"], cookie)

        assert self.send(browser, answer).status_code == 422
        assert count(LoginSession) == 0

    def test_it_expires_after_three_minutes(self, browser, execute, count):
        captcha_id, answer = self.answer(browser)
        late = func.now() - captcha.LIFETIME - timedelta(seconds=1)
        execute(delete(Captcha))
        execute(insert(Captcha).values(id=captcha_id, created_at=late))

        assert self.send(browser, answer).status_code == 422
        assert count(LoginSession) == 0
        assert browser.get("/login/captcha.png").status_code == 200  # Of the new one.

    def test_the_answer_of_another_browser_is_of_no_use(self, browser, new_browser, count):
        other = new_browser()
        _id, _answer = self.answer(browser)
        _id, answer = self.answer(other)
        while answer == browser.captcha()[1]:
            _id, answer = self.answer(other)

        assert self.send(browser, answer).status_code == 422
        assert count(LoginSession) == 0

    def test_used_twice_at_the_same_moment_it_is_accepted_once(self, app):
        with app.app_context():
            captcha_id = captcha.issue()
            answer = captcha.answer_of(captcha_id)
        start = threading.Barrier(8)
        accepted = []

        def use():
            with app.app_context():
                start.wait()
                accepted.append(captcha.use(captcha_id, answer))

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(accepted) == [False] * 7 + [True]

    def test_image_and_sound_tell_the_same_and_nothing_else_does(self, browser):
        page = browser.get("/login/")
        captcha_id, answer = browser.captcha()
        image = browser.get("/login/captcha.png")
        sound = browser.get("/login/captcha.wav")

        assert image.mimetype == "image/png"
        assert image.data.startswith(b"\x89PNG")
        assert sound.data[:4] == b"RIFF"
        assert image.headers["Cache-Control"] == "no-store"
        with browser.client.session_transaction() as session:
            assert dict(session) == {"captcha": captcha_id, "csrf_token": session["csrf_token"]}
        assert f'value="{answer}"' not in page.text

    def test_without_one_there_is_no_image(self, browser):
        assert browser.get("/login/captcha.png").status_code == 404
        assert browser.get("/login/captcha.wav").status_code == 404

    def test_fetching_the_image_does_not_consume_it(self, browser):
        _id, answer = self.answer(browser)
        for _ in range(3):
            browser.get("/login/captcha.png")
        assert self.send(browser, answer).status_code == 302

    def test_spoken_it_is_drawn_once_and_kept_sealed(self, browser, app, monkeypatch):
        drawn = counting(monkeypatch)
        captcha_id, answer = self.answer(browser)
        sounds = {browser.get("/login/captcha.wav").data for _each in range(5)}

        assert (len(sounds), drawn) == (1, [answer])
        with app.app_context():
            kept = db.session.scalars(select(Captcha.sound)).one()
            assert b"RIFF" not in kept
            # Of another captcha, and under another key, it says nothing.
            for key, about in (
                (app.config["SECRET_KEY"], "another"),
                ("another" * 9, captcha_id),
            ):
                monkeypatch.setitem(app.config, "SECRET_KEY", key)
                with pytest.raises(PkiError):
                    captcha.INTL.decrypt(captcha._sound_key(), kept, about.encode())

    def test_asked_for_at_the_same_moment_it_is_drawn_once(self, app, monkeypatch):
        """Fails without the lock on the captcha's row."""
        drawn = counting(monkeypatch, slowly=0.05)
        captcha_id = captcha.issue()
        start, sounds = threading.Barrier(4), []

        def listen():
            with app.app_context():
                start.wait()
                sounds.append(captcha.speak(captcha_id))

        threads = [threading.Thread(target=listen) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(set(sounds)) == len(drawn) == 1

    def test_one_address_has_so_many_sounds_drawn(self, browser, new_browser, monkeypatch):
        counting(monkeypatch)
        monkeypatch.setattr(lockout, "SOUNDS", 2)
        for _each in range(2):
            self.answer(browser)
            assert browser.get("/login/captcha.wav").status_code == 200
        last = browser.get("/login/captcha.wav")
        self.answer(browser)
        refused = browser.get("/login/captcha.wav")

        assert (last.status_code, refused.status_code) == (200, 429)
        assert "请求过多" in refused.text
        other = new_browser()
        self.answer(other)
        assert other.get("/login/captcha.wav").status_code == 200
        assert browser.get("/login/captcha.png").status_code == 200

    def test_used_it_is_not_spoken_again(self, browser, monkeypatch):
        counting(monkeypatch)
        captcha_id, answer = self.answer(browser)
        browser.get("/login/captcha.wav")
        captcha.use(captcha_id, answer)

        assert browser.get("/login/captcha.wav").status_code == 404

    def test_wrong_answers_are_limited_for_an_address(
        self, browser, new_browser, monkeypatch, count, said
    ):
        monkeypatch.setattr(lockout, "CAPTCHAS", 3)
        for _each in range(3):
            self.answer(browser)
            assert "验证码错误" in said(self.send(browser, "no"))[0]
        _id, answer = self.answer(browser)
        refused = self.send(browser, answer)

        assert refused.status_code == 422
        assert "3 次" in said(refused)[0]
        assert "15 分钟" in said(refused)[0]
        assert count(LoginSession) == 0
        assert count(LoginRecord) == 3
        other = new_browser()
        _id, answer = self.answer(other)
        assert self.send(other, answer).status_code == 302

    def test_right_answers_are_not(self, browser, monkeypatch, count):
        monkeypatch.setattr(lockout, "CAPTCHAS", 1)
        for _each in range(2):
            _id, answer = self.answer(browser)
            self.send(browser, answer, password="Wrong-Horse-1")

        assert count(LoginRecord, LoginRecord.outcome == "wrong_password") == 2
        assert count(LoginFailure, LoginFailure.key.startswith("captcha:")) == 0


def counting(monkeypatch, *, slowly: float = 0) -> list[str]:
    """Speak at no cost, and return the list of what was spoken."""
    spoken: list[str] = []

    def speak(digits: str) -> bytes:
        spoken.append(digits)
        time.sleep(slowly)
        return b"RIFF" + digits.encode() * 9

    monkeypatch.setattr(captcha, "_spoken", speak)
    return spoken
