"""The Chinese words for what is signed; a key that is not known is shown as it stands, never hidden."""

from __future__ import annotations

from collections.abc import Iterable

# What may be signed: the type that stands in the signed content, and the window's title.
TITLES = {
    "login": "登录",
    "submit": "提交申请",
    "review": "审核",
    "renew": "证书更新",
    "enrol": "申领证书",
}

LABELS = {
    "purpose": "用途",
    "member_no": "会员编号",
    "member_name": "名称",
    "name": "名称",
    "operator": "经办人",
    "account": "账户",
    "account_no": "账户",
    "account_name": "账户名称",
    "kind": "业务类型",
    "application": "业务申请",
    "application_no": "申请编号",
    "document": "单号",
    "document_no": "单号",
    "number": "单号",
    "id": "编号",
    "version": "版本",
    "row_version": "版本",
    "action": "操作",
    "decision": "审核结果",
    "comment": "审核意见",
    "reason": "申请原因",
    "lines": "明细",
    "items": "清单",
    "documents": "清单",
    "instrument": "标的",
    "instrument_code": "标的编码",
    "instrument_name": "标的名称",
    "code": "编码",
    "quantity": "数量（吨）",
    "total": "合计（吨）",
    "totals": "合计（吨）",
    "count": "条数",
    "venue": "划转交易端",
    "venue_code": "划转交易端编码",
    "venue_name": "划转交易端",
    "counterparty": "对方",
    "notice": "履约通知书",
    "notice_no": "履约通知书编号",
    "attachments": "附件",
    "file": "文件",
    "size": "大小（字节）",
    "sha256": "内容摘要（SHA-256）",
    "submitted_at": "提交时间",
    "request_key": "请求标识",
    "changes": "变更",
    "old": "原值",
    "new": "新值",
    "province": "省份",
    "sector": "行业",
    "year": "年度",
    "schema": "格式",
}

DECISIONS = {"approve": "通过", "send_back": "退回", "refuse": "不同意", "agree": "同意"}
VALUES = {
    "decision": DECISIONS,
    "action": DECISIONS | {"submit": "提交", "withdraw": "撤回", "login": "登录"},
    "kind": {
        "registry_to_trading": "登记发起登记转交易",
        "trading_to_registry": "交易发起交易转登记",
        "exchange_registry_to_trading": "交易发起登记转交易",
        "voluntary_cancellation": "自愿注销",
        "surrender": "履约清缴",
        "custody": "存管",
        "custody_return": "存管返还",
        "account_change": "账户信息修改",
    },
}


PLACES = {key: place for place, key in enumerate(LABELS)}


def in_reading_order(keys: Iterable[str]) -> list[str]:
    """Return the keys as people read them: known ones in the order above, then the others."""
    return sorted(keys, key=lambda key: PLACES.get(key, len(PLACES)))


def label_of(key: str) -> str:
    """Return the word for a key of the payload."""
    return LABELS.get(key, key)
