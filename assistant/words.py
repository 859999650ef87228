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
    "decision": "审核结果",
    "comment": "审核意见",
    "application": "业务申请",
    "kind": "业务类型",
    "number": "申请编号",
    "count": "条数",
    "enterprises": "单位数",
    "account": "账户",
    "lines": "明细",
    "total": "合计（吨）",
    "files": "导入文件",
    "batch": "导入批次",
    "items": "清单",
    "member_no": "会员编号",
    "member_name": "名称",
    "code": "标的编码",
    "name": "名称",
    "quantity": "数量（吨）",
    "venue": "划转交易端",
    "receiver": "接收单位会员编号",
    "receiver_name": "接收单位",
    "drawn_from": "原业务编号",
    "receivers": "相关重点排放单位",
    "notice": "履约通知书",
    "category": "类型",
    "document_no": "文号",
    "authority": "决定机关",
    "starts_on": "生效日期",
    "ends_on": "截止日期",
    "reason": "申请原因",
    "attachments": "附件",
    "sha256": "内容摘要（SHA-256）",
    "proposal_sha256": "修改内容摘要（SHA-256）",
    "serial": "证书序列号",
    "request_sha256": "证书申请摘要（SHA-256）",
    "schema": "格式",
}

DECISIONS = {"approve": "通过", "send_back": "退回", "refuse": "不同意", "agree": "同意"}
VALUES = {
    "decision": DECISIONS,
    "action": DECISIONS | {"submit": "提交", "withdraw": "撤回", "login": "登录"},
    "kind": {
        "account_change": "账户信息修改",
        "account_opening": "开户",
        "certificate_replacement": "证书补办",
        "issuance": "配额发放",
        "registry_to_trading": "登记发起登记转交易",
        "trading_to_registry": "交易发起交易转登记",
        "exchange_registry_to_trading": "交易发起登记转交易",
        "surrender": "清缴履约",
        "surrender_refund": "清缴退还",
        "custody_deposit": "存管",
        "custody_link": "关联对方重点排放单位",
        "custody_return": "存管返还",
        "voluntary_cancellation": "自愿注销",
        "freeze": "冻结",
        "unfreeze": "解冻",
        "confiscation": "收缴",
        "confiscation_refund": "收缴退还",
        "restriction": "账户限制",
        "restriction_lifting": "解除账户限制",
    },
    "category": {
        "merger": "合并",
        "split": "分立",
        "restructuring": "重组",
        "pre_allocation": "预分配",
        "approved": "核定",
        "supplementary": "补发",
        "adjustment": "调整",
        "judicial": "司法",
        "supervision": "监管措施",
        "dispute": "权属争议",
        "true_up": "多退少补收回",
        "penalty": "处罚",
        "other": "其他",
    },
}


PLACES = {key: place for place, key in enumerate(LABELS)}


def in_reading_order(keys: Iterable[str]) -> list[str]:
    """Return the keys as people read them: known ones in the order above, then the others."""
    return sorted(keys, key=lambda key: PLACES.get(key, len(PLACES)))


def label_of(key: str) -> str:
    """Return the word for a key of the payload."""
    return LABELS.get(key, key)
