"""The demonstration's announcements: three published, and a draft for the second officer."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.operations.records import announcements
from app.operations.records.actor import Actor
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
            "everybody",
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
