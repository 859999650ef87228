"""演示信箱: what was sent, for everybody in a demonstration and for nobody in a real registry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import delivery
from app.extensions import db, transaction
from app.models import MailboxMessage, OutboxMessage
from app.operations.records import outbox
from app.security import production
from app.web import create_app
from tests.factories import member


@pytest.fixture
def sent(app, settings) -> list[int]:
    """A mail with a link and a text message with a code, delivered."""
    link = "请打开 https://registry.example/first/abc 登录\n<script>alert(1)</script>"
    with transaction():
        outbox.send(
            outbox.Message("mail", "rep@plant.example", link, "first", "首次登录", has_secret=True),
            outbox.Message("sms", "13800000000", "授权码 7H3K", "code", has_secret=True),
        )
    for channel in ("mail", "sms"):
        delivery.deliver(settings, channel)
    return list(db.session.scalars(db.select(MailboxMessage.id).order_by(MailboxMessage.id)))


@pytest.mark.parametrize("role", ["registry_maker", "auditor", "system_admin"])
def test_what_was_sent_is_in_the_mailbox(sent, sign_in, role):
    browser = sign_in(member(role))
    text = browser.get("/demo/mailbox/").text
    assert "首次登录" in text
    assert "13800000000" in text
    assert "授权码 7H3K" not in text  # Only who opens the message reads it.
    assert "授权码 7H3K" in browser.get(f"/demo/mailbox/{sent[1]}").text
    page = browser.get(f"/demo/mailbox/{sent[0]}").text
    assert 'href="https://registry.example/first/abc"' in page
    assert "<script>alert" not in page


def test_a_message_that_is_not_there(sent, sign_in):
    assert sign_in(member("auditor")).get("/demo/mailbox/999999").status_code == 404


def test_the_outbox_itself_is_on_no_page(sent):
    bodies = db.session.scalars(db.select(OutboxMessage.body)).all()
    assert bodies == [None, None]


def test_a_real_registry_has_no_mailbox(settings, monkeypatch):
    monkeypatch.setattr(production, "check_before_serving", lambda *_: None)
    real = create_app(replace(settings, profile="production", mail_url="off", sms_url="off"))
    with real.app_context():
        for engine in db.engines.values():
            engine.dispose()
    assert not [rule for rule in real.url_map.iter_rules() if "mailbox" in rule.rule]
    assert not [view for view in real.appbuilder.baseviews if "Mailbox" in type(view).__name__]
