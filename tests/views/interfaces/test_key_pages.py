"""The pages of machines' keys: entered by one officer, confirmed by another, and what stands."""

from __future__ import annotations

import json

import pytest

from app.extensions import db, transaction
from app.models import Application, MachineKey, MachineToken
from app.operations.people import machine_sign_in
from tests import factories
from tests.operations.machines import new_key, registered


@pytest.fixture(autouse=True)
def _venue(app):
    with transaction():
        factories.venue()


def form(key=None, **more):
    public = json.dumps(key.as_dict(private=False)) if key else ""
    usual = {
        "client": "SHEX01", "client_name": "上海环境能源交易所", "venue": "ZGW",
        "scopes": ["transfers:write", "calendar:read"], "jwk": public, "certificate": "",
        "starts_on": "2026-11-20", "ends_on": "2027-11-19", "reason": "接入交易系统",
        "request_key": "form-0000001", "submit": "1",
    }  # fmt: skip
    return usual | more


def test_a_key_is_entered_on_the_page_and_confirmed_on_the_review(desk, sign_in, checker):
    key = new_key()
    assert desk.get("/machine-keys/new").status_code == 200
    answer = desk.post("/machine-keys/new", data=form(key))
    assert answer.status_code == 302, answer.text
    application = db.session.query(Application).one()
    assert (application.kind, application.status) == ("machine_key", "in_review")
    id_ = application.id

    reviewer = sign_in(checker)
    shown = reviewer.get(f"/reviews/{id_}").text
    for text in (
        key.thumbprint(),
        key.kid,
        "上海环境能源交易所",
        "发起划转、查询交易日历和可交易标的",
    ):
        assert text in shown
    factories.confirmed(id_, checker)
    assert key.thumbprint() in desk.get("/machine-clients/").text
    assert key.kid in desk.get("/machine-key-revocations/new").text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"client": "shex"}, "接入方代码为 2 至 10 位大写字母和数字"),
        ({"client_name": " "}, "100"),
        ({"venue": "NOWHERE"}, "交易端"),
        ({"scopes": []}, "至少选择一项"),
        ({"scopes": ["everything"]}, "至少选择一项"),
        ({"jwk": "{"}, "不是 JSON 格式的公钥"),
        ({"jwk": '{"kty": "oct", "k": "AAAA"}'}, "私钥已泄露"),
        ({"certificate": "xx"}, "43 个字符"),
        ({"starts_on": "", "ends_on": ""}, "有效期最长 2 年"),
        ({"ends_on": "2030-01-01"}, "有效期最长 2 年"),
        ({"ends_on": "soon"}, "2026-11-20"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(desk, more, message):
    answer = desk.post("/machine-keys/new", data=form(new_key(), **more))
    assert answer.status_code == 400
    assert message in answer.text
    assert 'class="field-error"' in answer.text
    assert db.session.query(MachineKey).count() == 0


def test_a_key_is_chosen_and_revoked(app, desk, checker):
    machine = registered(app).sign_in()
    row = db.session.query(MachineKey).one()
    address = f"/machine-key-revocations/new?key={row.id}"
    assert desk.get(address).status_code == 200
    sent = {"reason": "密钥更换", "request_key": "form-0000002", "submit": "1"}
    assert desk.post(address, data=sent).status_code == 302
    asked = db.session.query(Application).filter_by(kind="machine_key_revocation").one()
    assert machine.call("GET", "/calendar").status_code == 200
    factories.confirmed(asked.id, checker)
    assert machine.call("GET", "/calendar").status_code == 401
    assert desk.get(address).status_code == 404
    assert "已吊销" in desk.get("/machine-clients/").text


@pytest.mark.parametrize("page", ["machine-keys", "machine-key-revocations", "machine-clients"])
def test_the_pages_are_the_officers(sign_in, operator, hubei, page):
    for member in (operator, hubei):
        assert sign_in(member).get(f"/{page}/").status_code == 403


def test_what_is_over_is_cleared(app, tables):
    registered(app).sign_in()
    db.session.rollback()
    for table in ("machine_token", "machine_assertion"):
        tables.connection.execute(f"UPDATE {table} SET expires_at = now() - interval '2 days'")
    tables.connection.execute("UPDATE machine_rate SET minute = minute - 60")
    with transaction():
        machine_sign_in.clear_leftovers()
    assert db.session.query(MachineToken).count() == 0
    for table in ("machine_assertion", "machine_rate"):
        assert db.session.scalar(db.text(f"SELECT count(*) FROM {table}")) == 0


def test_the_platform_s_client_is_entered_there_as_well(desk, sign_in, checker):
    of_platform = {"client": "MEE01", "venue": "platform", "client_name": "管理平台"}
    wrong = form(new_key(), **of_platform, scopes=["figures:write", "transfers:write"])
    answer = desk.post("/machine-keys/new", data=wrong)
    assert answer.status_code == 400
    assert "transfers:write 不是该类接入方所用接口的权限范围" in answer.text

    asked = form(new_key(), **of_platform, scopes=["figures:write"], request_key="form-0000003")
    assert desk.post("/machine-keys/new", data=asked).status_code == 302
    made = db.session.query(Application).filter_by(status="in_review").one().id
    shown = sign_in(checker).get(f"/reviews/{made}").text
    for text in ("全国碳市场管理平台", "推送核定数据表"):
        assert text in shown
    factories.confirmed(made, checker)
    listed = desk.get("/machine-clients/").text
    assert "MEE01" in listed
    assert "全国碳市场管理平台" in listed
