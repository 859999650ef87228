"""The initial reference data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from stdnum import numdb

from app.domain.regions import PROVINCES
from app.extensions import db
from app.models import Category, City, MinistryDate, ReportColumn, ReportSheet, Sector
from app.models.reference.dated import BEGINNING

AS_INSTALLED = 0  # version of an unchanged row

# code: (name, name in English), by the kind of application that has them.
SECTORS = {
    "power": ("发电", "Power generation"),
    "steel": ("钢铁", "Steel"),
    "cement": ("水泥", "Cement"),
    "aluminium": ("铝冶炼", "Aluminium"),
}
CATEGORIES = {
    "issuance": {
        "pre_allocation": ("预分配", "Pre-allocation"),
        "approved": ("核定", "Approved allocation"),
        "supplementary": ("补发", "Supplementary issue"),
        "adjustment": ("调整", "Adjustment"),
        "carry_over": ("结转", "Carry-over"),
        "paid": ("有偿", "Paid allocation"),
    },
    "account_succession": {
        "merger": ("合并", "Merger"),
        "division": ("分立", "Division"),
        "dissolution": ("解散无承继主体", "Dissolution without successor"),
    },
    "custody_deposit": {
        "merger": ("合并", "Merger"),
        "split": ("分立", "Split"),
        "restructuring": ("重组", "Restructuring"),
        "other": ("其他", "Other"),
    },
    "freeze": {
        "judicial": ("司法冻结", "Judicial freeze"),
        "supervision": ("监管措施", "Supervisory measure"),
        "dispute": ("权属争议", "Dispute over ownership"),
        "other": ("其他", "Other"),
    },
    # The codes of the courts' own system (rules-2026 N95).
    "court_freeze": {
        "01": ("01 冻结", "01 Freeze"),
        "03": ("03 轮候冻结", "03 Queued freeze"),
    },
    "court_renewal": {"02": ("02 续行冻结", "02 Renewal")},
    "court_release": {
        "04": ("04 解除冻结", "04 Release"),
        "05": ("05 解除轮候", "05 Release of what is queued"),
    },
    "court_assignment": {
        "06": ("06 扣划", "06 Deduction"),
        "08": ("08 冻结并扣划", "08 Freeze and deduction"),
    },
    "differentiation": {
        "unfulfilled": ("上一周期未足额清缴", "Previous period not fully surrendered"),
        "risk": ("存在明显风险", "Evident risk"),
        "closed": ("核定前关停", "Closed before approval"),
        "other": ("其他", "Other"),
    },
    # N25: P24 五(五); data fraud by O775-22.
    "deduction": {
        "verification": ("核查数据更正", "Verified figure corrected"),
        "shortfall": ("上年度未足额清缴", "Previous shortfall"),
        "borrowed": ("预支配额", "Borrowed allowances"),
        "fraud": ("弄虚作假拒不改正", "Data fraud, not corrected"),
        "remaining": ("以前环节剩余待核减", "Remaining from before"),
        "other": ("其他", "Other"),
    },
    "allowance_claim": {
        "true_up": ("多退少补", "True-up"),
        "verification": ("核查结果变更", "Verification changed"),
        "wrong_issue": ("发放更正", "Wrong issue"),
        "other": ("其他", "Other"),
    },
    # 条例 21-24.
    "penalty": {
        "shortfall": ("未按规定清缴配额", "Allowances not surrendered"),
        "report": ("未按规定报告或公开排放信息", "Emissions not reported or published"),
        "fraud": ("数据弄虚作假", "Data fraud"),
        "trading": ("违反交易规定", "Breach of trading rules"),
        "other": ("其他", "Other"),
    },
    "confiscation": {
        "true_up": ("多退少补收回", "True-up claw-back"),
        "judicial": ("司法决定", "Judicial decision"),
        "penalty": ("处罚", "Penalty"),
    },
}
# Kept for the documents that have them, and not offered: courts' freezes are orders of their own, what
# is carried over is issued by itself, and allowances are free as yet (N15, N130).
NOT_OFFERED = {("freeze", "judicial"), ("issuance", "carry_over"), ("issuance", "paid")}
# 主管部门日程 besides the plans' dates (P24, annex 5): year, sector, title, day, who acts.
MINISTRY_DATES = (
    (2024, "结转通知书下发", date(2026, 1, 31), "registry"),
    (2024, "第一批结转申请（3月27日前收回）", date(2026, 3, 20), "enterprise"),
    (2024, "结转申请截止", date(2026, 6, 10), "enterprise"),
    (2024, "第二批结转收回", date(2026, 6, 26), "registry"),
)
# 年度报告版式: code, title, rows; columns as (title, figure, unit).  No format of the ministry is public.
_COMPLIANCE = (
    ("应履约单位数", "enterprises", "one"),
    ("足额清缴单位数", "fulfilled", "one"),
    ("逾期未足额单位数", "overdue", "one"),
    ("应清缴量", "obligation", "ten_thousand"),
    ("已清缴量", "surrendered", "ten_thousand"),
    ("其中CCER抵销量", "offset", "ten_thousand"),
    ("缺口", "gap", "one"),
)
_LEDGER = (
    ("发放量", "issued", "one"),
    ("发放冲正量", "reversed", "one"),
    ("结转发放量", "granted", "one"),
    ("结转收回量", "carried", "one"),
    ("缴回量", "returned", "one"),
    ("清缴配额量", "posted", "one"),
    ("自愿注销量", "cancelled", "one"),
    ("收缴量", "confiscated", "one"),
)
_MARKET = (
    ("卖出量", "sold", "one"),
    ("买入量", "bought", "one"),
    ("卖出成交额", "sold_for", "ten_thousand"),
    ("买入成交额", "bought_for", "ten_thousand"),
    ("行政处罚件数", "penalties", "one"),
    ("罚款金额", "fines", "one"),
)
REPORT_SHEETS = (
    ("compliance_province", "履约_分省", "province", _COMPLIANCE),
    ("compliance_sector", "履约_分行业", "sector", _COMPLIANCE),
    ("ledger_province", "登记_分省", "province", _LEDGER),
    ("ledger_sector", "登记_分行业", "sector", _LEDGER),
    ("market_province", "交易与处罚_分省", "province", _MARKET),
    ("years", "历年汇总", "year", (*_COMPLIANCE, *_LEDGER, *_MARKET)),
)
CARRY_OVER = "国环规气候〔2024〕1号附件5"
_NO_CITY = re.compile("^(市辖区|县|市|林区)$")


def seed() -> None:
    """Add missing rows; changed or disabled ones stay.  The caller commits."""
    _add(Sector, [{"code": code, **_names(names)} for code, names in SECTORS.items()])
    categories = [
        {"kind": kind, "code": code, **_names(names)} | _disabled(kind, code)
        for kind, values in CATEGORIES.items()
        for code, names in values.items()
    ]
    _add(Category, categories)
    _add(MinistryDate, [_ministry_date(*each) for each in MINISTRY_DATES])
    _add_report()
    _add(City, [city for province in PROVINCES for city in cities(province)])


def _add_report() -> None:
    """Add the layout of the yearly report."""
    sheets = [
        {"code": code, "name": name, "rows_by": rows_by, "place": 10 * place}
        for place, (code, name, rows_by, _columns) in enumerate(REPORT_SHEETS, 1)
    ]
    _add(ReportSheet, sheets)
    ids = dict(db.session.execute(select(ReportSheet.code, ReportSheet.id)).all())
    columns = [
        {"sheet_id": ids[code], "name": name, "figure": figure, "unit": unit, "place": 10 * place}
        for code, _name, _rows_by, found in REPORT_SHEETS
        for place, (name, figure, unit) in enumerate(found, 1)
    ]
    _add(ReportColumn, columns)


def _ministry_date(year: int, title: str, due_on: date, party: str) -> dict[str, Any]:
    found = {"year": year, "sector": "all", "title": title, "due_on": due_on, "party": party}
    return found | {"source": CARRY_OVER}


def cities(province: str) -> list[dict[str, str]]:
    """Return the current prefectures of a province, by GB/T 2260."""
    numbers = numdb.get("cn/loc")
    codes = [f"{province}{number:02d}00" for number in range(100)]
    found = []
    for code in codes:
        parts = numbers.info(code)
        name = _present(parts[1][1].get("county", "")) if len(parts) == 2 else ""
        is_whole = code.endswith("0000") and not name.endswith("市")  # the province itself
        if name and not is_whole and not _NO_CITY.match(name):
            found.append({"province": province, "code": code, "name": name})
    return found


def _present(history: str) -> str:
    """Return the current name of "[1994-1995]荆沙市,[1996-]荆州市", or ""."""
    for part in history.split(","):
        if match := re.fullmatch(r"(?:\[\d*-\])?([^\[\]]+)", part):
            return match[1]
    return ""


def _disabled(kind: str, code: str) -> dict[str, str | None]:
    return {"disabled_from": BEGINNING if (kind, code) in NOT_OFFERED else None}


def _names(names: tuple[str, str]) -> dict[str, str]:
    return {"name": names[0], "name_en": names[1]}


def _add(
    model: type[Sector | Category | City | MinistryDate | ReportSheet | ReportColumn],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    statement = insert(model).values([dict(row) | {"version": AS_INSTALLED} for row in rows])
    db.session.execute(statement.on_conflict_do_nothing())
