"""系统接入凭证 on pages: who issues, sees and revokes; what is wrong is said at its field."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import MachineClient, MachineKey
from tests import factories
from tests.operations.machines import issued, new_key
from tests.views.toys import table


def form(key=None, **more):
    public = json.dumps(key.as_dict(private=False)) if key else ""
    usual = {
        "name": "碳管理系统", "jwk": public, "scopes": ["holdings:read", "notices:read"],
        "ends_on": "2027-11-01",
    }  # fmt: skip
    return usual | more


def test_a_credential_is_issued_listed_and_its_use_shown(app, sign_in, operator):
    browser, key = sign_in(operator), new_key()
    assert "最长 365 天" in browser.get("/credentials/new").text
    assert browser.post("/credentials/new", data=form(key)).status_code == 302
    code = db.session.scalars(select(MachineClient.code)).one()
    (row,) = table(browser.get("/credentials/").text)
    assert row[1:4] == [code, "碳管理系统", "查询持仓和持仓流水、查询履约通知书"]
    assert key.kid in row
    assert "有效" in row
    system = issued(app, operator).sign_in()
    system.call("GET", "/me")
    used = select(MachineKey.id).join(MachineClient).where(MachineClient.code == system.code)
    (use,) = table(browser.get(f"/credential-uses/?credential={db.session.scalar(used)}").text)
    assert use[2:4] == [system.code, "碳管理系统"]
    assert use[4:6] == ["127.0.0.1", "1"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": ""}, "系统名称"),
        ({"name": "x" * 101}, "100"),
        ({"name": "x\u200b"}, "系统名称"),
        ({"scopes": []}, "权限范围"),
        ({"scopes": ["transfers:write"]}, "至少选择一项"),
        ({"jwk": "{"}, "不是 JSON 格式的公钥"),
        ({"jwk": "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"}, "不是 PEM 格式的公钥"),
        ({"jwk": '{"kty": "oct", "k": "AAAA"}'}, "私钥已泄露"),
        ({"ends_on": ""}, "有效期"),
        ({"ends_on": "soon"}, "2026-11-20"),
        ({"ends_on": "2026-11-19"}, "最长 365 天；读到的是 2026-11-19"),
        ({"ends_on": "2027-11-21"}, "2027-11-20"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(sign_in, operator, more, message):
    answer = sign_in(operator).post("/credentials/new", data=form(new_key(), **more))
    assert answer.status_code == 422
    assert message in answer.text
    assert 'class="field-error"' in answer.text
    assert db.session.query(MachineKey).count() == 0


def test_a_key_that_is_known_is_refused_at_its_field(sign_in, operator, hubei):
    key = new_key()
    sign_in(operator).post("/credentials/new", data=form(key))
    answer = sign_in(hubei).post("/credentials/new", data=form(key))
    assert answer.status_code == 422
    assert "该公钥此前已登记过" in answer.text


def test_a_province_is_offered_the_same_scopes(sign_in, operator, hubei):
    """Its officers read statements on the page (docs/adr/0082)."""
    for member in (operator, hubei):
        assert "查询结算单" in sign_in(member).get("/credentials/new").text


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        ("enterprise_maker", (200, 403, 403)),
        ("enterprise_checker", (200, 403, 403)),
        ("registry_maker", (200, 403, 403)),
        ("security_admin", (200, 403, 302)),
        ("auditor", (200, 403, 403)),
        ("system_admin", (403, 403, 403)),
    ],
)
def test_who_sees_issues_and_revokes(app, sign_in, operator, plant, role, statuses):
    system = issued(app, operator)
    of = plant if role.startswith("enterprise") else None
    browser = sign_in(factories.member(role, of=of))
    found = (
        browser.get("/credentials/").status_code,
        browser.get("/credentials/new").status_code,
        browser.post(f"/credentials/{system.code}/revoke").status_code,
    )
    assert found == statuses
    assert system.ask_token().status_code == (401 if statuses[2] == 302 else 200)


def test_nobody_else_s_credential_is_there(app, sign_in, operator, hubei):
    """A province does not see its enterprises' credentials, nor one enterprise another's."""
    of_plant, of_hubei = issued(app, operator).sign_in(), issued(app, hubei).sign_in()
    other = factories.member(of=factories.account("乙水泥有限公司"))
    shanghai = factories.member("province", province="31")
    for person, own, others in (
        (operator, of_plant, [of_hubei]), (hubei, of_hubei, [of_plant]),
        (other, None, [of_plant, of_hubei]), (shanghai, None, [of_plant, of_hubei]),
    ):  # fmt: skip
        browser = sign_in(person)
        for page in ("/credentials/", "/credential-uses/", "/credentials/export.csv"):
            with browser.get(page) as answer:
                shown = answer.get_data(as_text=True)
            assert (own is not None) == bool(own and own.code in shown), page
            assert not [each for each in others if each.code in shown], page
        for each in others:
            assert browser.post(f"/credentials/{each.code}/revoke").status_code == 404
    for code in ("M99999999", "SHEX01", "x"):
        assert sign_in(operator).post(f"/credentials/{code}/revoke").status_code == 404
    assert [each.call("GET", "/me").status_code for each in (of_plant, of_hubei)] == [200, 200]


def test_a_colleague_of_the_province_revokes(app, sign_in, hubei):
    system = issued(app, hubei)
    browser = sign_in(factories.member("province", province="42"))
    assert browser.post(f"/credentials/{system.code}/revoke").status_code == 302
    assert system.ask_token().status_code == 401
    again = browser.post(f"/credentials/{system.code}/revoke", follow_redirects=True)
    assert "此前已吊销" in again.text


def test_a_stopped_credential_says_so(app, sign_in, operator, plant):
    issued(app, operator)
    colleague = sign_in(factories.member("enterprise_maker", of=plant))
    assert "有效" in table(colleague.get("/credentials/").text)[0]
    operator.active = False
    db.session.commit()
    assert "已停止" in table(colleague.get("/credentials/").text)[0]
