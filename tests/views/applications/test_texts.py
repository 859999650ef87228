"""Every text field of every form applies the rule for texts; so do comments and bulk questions."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import wtforms
from flask_wtf import FlaskForm

import app.views
from app.extensions import db
from app.models import Announcement, ApplicationEvent
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.views.applications import texts
from tests.factories import member, nothing_moves

# Sign-in gives one answer to whatever is wrong, and a new number has a stricter form of its own.
OTHERWISE_CHECKED = {
    ("SignInForm", "member_no"),
    ("SignInForm", "captcha"),
    ("MemberForm", "number"),
}
OVERRIDE = "通\u202e过"


def all_forms() -> list[type]:
    for module in pkgutil.walk_packages(app.views.__path__, "app.views."):
        importlib.import_module(module.name)

    def below(cls):
        for each in cls.__subclasses__():
            yield each
            yield from below(each)

    return [each for each in below(FlaskForm) if each.__module__.startswith("app.views")]


def test_every_text_field_of_every_form_has_the_rule():
    other = (wtforms.PasswordField, wtforms.HiddenField, wtforms.DateField)
    left = set(OTHERWISE_CHECKED)
    seen = 0
    for form in all_forms():
        for name in dir(form):
            unbound = getattr(form, name)
            kind = getattr(unbound, "field_class", None)
            if kind and issubclass(kind, wtforms.StringField) and not issubclass(kind, other):
                seen += 1
                if (form.__name__, name) in OTHERWISE_CHECKED:
                    left.discard((form.__name__, name))
                    continue
                assert issubclass(kind, texts.StringField | texts.TextAreaField), (form, name)
    assert not left
    assert seen > 20


@pytest.mark.parametrize("verb", ["approve", "send_back", "withdraw"])
def test_a_comment_that_turns_the_direction_of_writing_is_refused(app, verb):
    actor = Actor.of(member("registry_checker"))
    with nothing_moves(), pytest.raises(engine.RuleError, match=r"U\+202E") as refusal:
        getattr(engine, verb)([1], actor, now=clock.now(), comment=OVERRIDE)
    assert refusal.value.field == "comment"
    assert db.session.query(ApplicationEvent).count() == 0


def test_an_announcement_names_the_character_and_keeps_what_was_typed(sign_in):
    browser = sign_in(member("registry_maker"))
    form = {"title": "公告", "text": f"第一行\n{OVERRIDE}", "audience": "everybody"}
    page = browser.post("/announcement-desk/new", data=form)
    assert page.status_code == 422
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in page.text
    assert "第一行" in page.text
    assert db.session.query(Announcement).count() == 0
