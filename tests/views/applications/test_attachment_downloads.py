"""Downloads of attachments: by whom, with which headers, and on record."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import OperationLog
from app.operations.applications import attachments
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories, files


@pytest.fixture
def kept(plant, operator):
    what = factories.instrument()
    factories.give(plant, what, 10)
    draft = factories.draft("voluntary_cancellation", operator, {what: 1}, reason="碳中和")
    with transaction():
        attachments.change(
            draft,
            Actor.of(operator),
            now=clock.now(),
            add=[attachments.look_at("营业执照（副本）.pdf", files.pdf())],
        )
    return attachments.of_application(draft)[0].id


def test_a_download_is_saved_and_never_shown(sign_in, operator, kept):
    answer = sign_in(operator).get(f"/attachments/{kept}")

    assert answer.status_code == 200
    assert answer.data == files.pdf()
    assert answer.mimetype == "application/pdf"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; ")
    assert f"filename*=UTF-8''{quote('营业执照（副本）.pdf')}" in disposition
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_download_is_on_record(sign_in, operator, kept, plant):
    sign_in(operator).get(f"/attachments/{kept}")
    found = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "attachment.download")
    ).one()

    assert found.member_id == operator.id
    assert found.account_id == plant.id
    assert "营业执照" in found.subject


@pytest.mark.parametrize(
    ("role", "more", "status"),
    [
        ("registry_maker", {}, 200),
        ("province", {"province": "42"}, 200),
        ("province", {"province": "31"}, 404),
        ("auditor", {}, 403),
        ("system_admin", {}, 403),
        ("security_admin", {}, 403),
    ],
)
def test_officers_see_what_lies_in_their_scope(sign_in, kept, role, more, status):
    browser = sign_in(factories.member(role, **more))

    # Flask-AppBuilder sends who lacks the permission away; ours answers 403 or a page, no file.
    answer = browser.get(f"/attachments/{kept}")
    assert answer.status_code == status
    assert (answer.data == files.pdf()) == (status == 200)


def test_another_enterprise_is_told_that_there_is_none(sign_in, kept):
    stranger = factories.member(of=factories.account("乙水泥有限公司", "42"))

    assert sign_in(stranger).get(f"/attachments/{kept}").status_code == 404
    assert sign_in(stranger).get("/attachments/999999").status_code == 404


def test_a_stranger_is_sent_to_sign_in(client, kept):
    assert client.get(f"/attachments/{kept}").status_code == 302


def test_what_waits_is_seen_by_whoever_chose_it(sign_in, operator, plant):
    with transaction():
        attachments.keep(
            [attachments.look_at("一.pdf", files.pdf())],
            "form-0123456789",
            plant.id,
            Actor.of(operator),
            now=clock.now(),
        )
    (waiting,) = attachments.of_form("form-0123456789", Actor.of(operator))
    url = f"/attachments/{waiting.id}"

    assert sign_in(operator).get(url).status_code == 200
    assert sign_in(factories.member(of=plant)).get(url).status_code == 404
    assert sign_in(factories.member("registry_maker")).get(url).status_code == 404
