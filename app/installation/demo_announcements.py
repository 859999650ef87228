"""The demonstration's announcements, fees and a penalty, and what is published of all for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.domain.compliance.penalties import Penalty
from app.extensions import db
from app.models import Account, FeeRate
from app.operations.applications import engine
from app.operations.publicity import publishing
from app.operations.records import announcements
from app.operations.records.actor import SYSTEM, Actor
from app.operations.records.announcements import Content

# (days before the demonstration begins, announcement)
PUBLISHED = (
    (
        21,
        Content(
            "2025年度履约工作安排",
            "各重点排放单位、各省级主管部门：\n"
            "2025年度配额清缴工作已经启动，履约截止时间以各单位履约通知书载明的为准。\n"
            "一、请各单位登录系统，在“履约管理－履约清缴”中核对应履约量和履约范围，有异议的，及时与所在省级主管部门联系。\n"
            "二、请预留省级主管部门审核的时间，尽早提交履约申请；逾期仍有缺口的，履约通知书的状态为“逾期”。\n"
            "三、足额清缴后，可在履约通知书右端下载履约证明，任何人可凭校验码查验。\n"
            "咨询电话：400-991-1188 转 1。",
            "public",
            is_pinned=True,
        ),
    ),
    (
        9,
        Content(
            "CCER抵销规则说明",
            "各重点排放单位：\n"
            "使用国家核证自愿减排量（CCER）抵销碳排放配额清缴的，抵销比例不超过应清缴配额量的5%，具体比例以履约通知书为准。\n"
            "抵销上限按应履约量乘以抵销比例取整（不足一吨的舍去）；已提交、待审核的CCER一并计入已用量。\n"
            "在“履约管理－履约清缴”中点击“履约范围”，可查看上限、已用和余量。\n"
            "CCER的登记信息可在全国温室气体自愿减排注册登记系统查询：https://www.ccer.com.cn",
            "enterprises",
        ),
    ),
    (
        2,
        Content(
            "系统维护通知",
            "各用户：\n"
            "为保障系统稳定运行，定于本周六20:00至22:00进行例行维护，其间系统不能登录，请提前办理业务。\n"
            "维护不影响已提交的申请和日终结算；登记划转申请仍以交易日15:00前提交为准。\n"
            "给您带来的不便，敬请谅解。",
        ),
    ),
)
WAITING = Content(
    "关于核对账户代表联系方式的通知",
    "各重点排放单位：\n"
    "请核对账户代表的手机号和邮箱，有变更的，请在“账户管理－账户信息修改”中提交修改申请，以免影响通知送达。",
    "enterprises",
)


def announce(maker: Actor, checker: Actor, morning: datetime) -> None:
    """Write and publish the announcements."""
    for days, content in PUBLISHED:
        at = morning - timedelta(days=days, minutes=-35)
        made = announcements.write(content, maker, now=at - timedelta(hours=1))
        announcements.publish(made, checker, version=1, now=at)
    announcements.write(WAITING, maker, now=morning - timedelta(hours=18))


# Made up, as everything here is: no rate of the real institutions.
FEES = (
    ("registration", "登记服务费", "登记账户持有人", "免收", "演示文件〔2026〕1号"),
    ("trading", "交易手续费", "交易双方", "成交金额的0.6‰（演示）", "演示文件〔2026〕2号"),
    ("settlement", "结算手续费", "交易双方", "成交金额的0.03‰（演示）", "演示文件〔2026〕2号"),
)


def disclose(enterprises: Sequence[Account], maker: Actor, checker: Actor, at: datetime) -> None:
    """Enter fees, and a penalty by two officers, and publish everything as of now."""
    penalised = next(each for each in enterprises if each.province == "31")
    db.session.add_all(
        FeeRate(code=code, name=name, payer=payer, rate=rate, basis=basis)
        for code, name, payer, rate, basis in FEES
    )
    draft = engine.Draft(
        "penalty",
        penalised.id,
        (),
        "demo:penalty",
        "未按规定报送年度温室气体排放报告",
        category="report",
        document_no="沪环罚〔2026〕18号",
        authority="上海市生态环境局",
        starts_on=at.date() - timedelta(days=20),
        proposal=Penalty(at.year - 1, 5_000_000).stored(),
    )
    made = engine.start([draft], maker, now=at)
    assert engine.submit(made, maker, now=at).refused == []
    assert engine.approve(made, checker, now=at, comment="与处罚决定书一致").refused == []
    publishing.publish_if_due(SYSTEM, now=at)
