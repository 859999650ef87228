"""The demonstration's 账户管理: fictitious valid details, two operators, a pending change, an institution."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime

from stdnum.cn import ric, uscc

from app.extensions import db
from app.models import Account, Member
from app.operations.accounts import details, sectors
from app.operations.applications import engine
from app.operations.imports import opening_import
from app.operations.people.members import NewMember, register_members
from app.operations.records.actor import Actor

PLACES = {
    "11": ("北京市朝阳区建国路", "110105"),
    "15": ("内蒙古自治区呼和浩特市新城区兴安路", "150102"),
    "31": ("上海市浦东新区世纪大道", "310115"),
    "32": ("江苏省南京市玄武区中山路", "320102"),
    "37": ("山东省济南市历下区经十路", "370102"),
    "42": ("湖北省武汉市武昌区中北路", "420106"),
    "44": ("广东省深圳市南山区深南大道", "440305"),
}
FAMILY, GIVEN = "王李张刘陈杨黄周吴徐", ("芳", "敏", "强", "军", "洋", "艳", "杰", "涛", "明", "慧")
BANKS = ("中国银行", "中国工商银行", "中国建设银行", "中国农业银行", "交通银行")
INSTITUTION = {
    "holder_class": "institution",
    "declared": "yes",
    "name": "江城证券股份有限公司",
    "uscc": "91420100MA4K9Y3T5J",
    "province": "42",
    "registered_address": "湖北省武汉市江汉区新华路88号",
    "legal_representative": "孙志远",
    "representative": "钱思明",
    "representative_phone": "13800150088",
    "representative_email": "qiansiming@securities.example.cn",
    "representative_identity_no": "11010519491231002X",
}


def tell(
    enterprises: Sequence[Account],
    members: Mapping[int, Member],
    password: str,
    at: datetime,
) -> None:
    """Set all enterprises' details, the manual's operators, and another's pending change."""
    chance = random.Random(2022)  # noqa: S311 - the same demonstration every time
    for serial, enterprise in enumerate(enterprises, start=1):
        values, wrong = details.read(_details(enterprise, serial, chance))
        assert not wrong, wrong
        details.set_details(enterprise.id, values, enterprise.opened_on)
    _appoint(enterprises[0], password)
    _propose(enterprises[2], members, at)


def _details(enterprise: Account, serial: int, chance: random.Random) -> dict[str, str]:
    address, county = PLACES[enterprise.province or "42"]
    identity = f"{county}1980{chance.randint(1, 12):02}{chance.randint(1, 28):02}{serial:03}"
    return {
        "name": enterprise.name,
        "uscc": enterprise.uscc or credit_code(enterprise, serial),
        "sector": ",".join(sectors.of_account(enterprise.id, enterprise.opened_on)),
        "registered_address": f"{address}{chance.randint(1, 400)}号",
        "legal_representative": _name(chance),
        "representative": _name(chance),
        "representative_phone": f"1380013{serial:04}",
        "representative_email": f"rep{serial:02}@plants.example.cn",
        "representative_identity_no": identity + ric.calc_check_digit(f"{identity}0"),
        "bank_name": f"{chance.choice(BANKS)}营业部",
        "bank_account": f"62170012345{serial:08}",
    }


def credit_code(enterprise: Account, serial: int) -> str:
    """Return a valid unified social credit code."""
    _address, county = PLACES[enterprise.province or "42"]
    code = f"91{county}MA4K{serial:05}"
    return str(code + uscc.calc_check_digit(code))


def _name(chance: random.Random) -> str:
    return chance.choice(FAMILY) + chance.choice(GIVEN)


def _appoint(enterprise: Account, password: str) -> None:
    """Register two operators, a maker and a checker."""
    number = enterprise.member_no
    people = (("王芳", "enterprise_maker"), ("刘强", "enterprise_checker"))
    operators = [
        NewMember(
            f"{number}-{n:02}",
            name,
            role,
            enterprise.id,
            email=f"operator{n}@plants.example.cn",
            phone=f"1380014{n:04}",
        )
        for n, (name, role) in enumerate(people, start=1)
    ]
    register_members(operators, password, must_change=False)


def _propose(enterprise: Account, members: Mapping[int, Member], at: datetime) -> None:
    """Submit a change of bank and telephone."""
    values, _wrong = details.read(
        {
            "representative_phone": "13900139000",
            "bank_name": "招商银行营业部",
            "bank_account": "6225880112345678",
        }
    )
    actor = Actor.of(members[enterprise.id], "192.0.2.10")
    draft = engine.Draft(
        "account_change",
        enterprise.id,
        (),
        "demo:account_change",
        "更换开户银行与联系电话",
        proposal=details.propose(details.current(enterprise.id), values),
    )
    made = engine.start([draft], actor, now=at)
    engine.submit(made, actor, now=at).one()
    db.session.flush()


def open_institution(maker: Actor, checker: Actor, at: datetime) -> None:
    """Open the account by two officers; it trades and cancels, and has no notices."""
    proposal, wrong = opening_import.judge(INSTITUTION)
    assert not wrong, wrong
    draft = opening_import.draft(proposal, "demo:opening:institution", reason="非履约主体开户")
    (made,) = engine.start([draft], maker, now=at)
    engine.submit([made], maker, now=at).one()
    engine.approve([made], checker, now=at, comment="材料齐全").one()
