"""Chinese labels of signed content; unknown keys are shown as they are."""

from __future__ import annotations

from collections.abc import Iterable

from assistant.kinds import CATEGORIES, KINDS, ROLES

# The types of content that may be signed, with the window's titles.
TITLES = {
    "login": "登录",
    "submit": "提交申请",
    "review": "审核",
    "withdraw": "撤回申请",
    "act": "办理事项",
    "renew": "证书更新",
    "enrol": "申领证书",
}

LABELS = {
    "person": "证书持有人",
    "holder": "补办人会员编号",
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
    "bank": "结算银行",
    "bank_name": "银行名称",
    "holder_name": "银行账户户名",
    "account_ending": "银行账号尾号",
    "amount": "金额（元）",
    "currency": "币种",
    "total_amount": "合计金额（元）",
    "venue": "划转交易端",
    "receiver": "接收单位会员编号",
    "receiver_name": "接收单位",
    "drawn_from": "原业务编号",
    "receivers": "相关重点排放单位",
    "notice": "履约通知书",
    "notices": "履约通知书合计",
    "terms": "通知书内容",
    "class": "账户类别",
    "rights": "权限",
    "shares": "承继主体及比例",
    "percent": "比例（%）",
    "account_name": "承继主体",
    "instrument_name": "标的名称",
    "is_given": "是否授权",
    "court": "法院文书",
    "order_number": "原冻结编号",
    "original_case_no": "原冻结案号",
    "original_request_no": "原冻结请求单号",
    "request_no": "请求单号",
    "case_no": "案号",
    "contact": "法院联系人及电话",
    "served_at": "送达时间",
    "instrument_code": "标的编码（空白为整户）",
    "instrument_name": "标的名称",
    "machine": "接入密钥",
    "client": "接入方代码",
    "credential": "接入凭证",
    "scopes": "权限范围",
    "certificate": "客户端证书指纹（SHA-256）",
    "kid": "密钥标识（kid）",
    "thumbprint": "公钥指纹（RFC 7638）",
    "jwk": "公钥（JWK）",
    "kty": "密钥类型",
    "crv": "曲线",
    "plan": "年度方案",
    "sector": "行业",
    "replaces": "所调整的版本",
    "documented_on": "文件日期",
    "method": "分配方法",
    "pre_allocation_share": "预分配比例（%）",
    "share_cap": "比例上限（%）",
    "rounding": "取整方式",
    "pre_allocate_by": "预分配截止",
    "approve_by": "核定截止",
    "issue_by": "发放截止",
    "surrender_by": "清缴截止",
    "offset_by": "CCER抵销申请截止",
    "vintages": "可用配额年度",
    "offset_registered_from": "CCER登记日不早于",
    "exemptions": "豁免与例外",
    "carry_over_base": "结转基数（吨）",
    "carry_over_factor": "结转倍数",
    "source": "依据",
    "confidence": "可信度",
    "is_draft": "文件状态",
    "year": "履约年度",
    "before": "调整前",
    "after": "调整后",
    "obligation": "应履约量（吨）",
    "deadline": "履约截止时间",
    "instruments": "可用于履约的标的",
    "offset_percent": "CCER抵销比例（%）",
    "category": "类型",
    "document_no": "文号",
    "authority": "决定机关",
    "starts_on": "生效日期",
    "ends_on": "截止日期",
    "reason": "申请原因",
    "attachments": "附件",
    "sha256": "内容摘要（SHA-256）",
    "proposal_sha256": "修改内容摘要（SHA-256）",
    "remark": "备注",
    "serial": "证书序列号",
    "asked_sha256": "所确认申请的摘要（SHA-256）",
    "request_sha256": "证书申请摘要（SHA-256）",
    "act": "事项",
    "values": "内容",
    "parameter": "参数代码",
    "title": "参数",
    "value": "新值",
    "effective_from": "启用日期",
    "day": "日期",
    "is_trading": "是否交易日",
    "note": "备注",
    "member": "会员编号",
    "roles": "角色",
    "is_allowed": "是否开通",
    "is_on": "是否开启",
    "schema": "格式",
}

YES_NO = {"true": "是", "false": "否"}
DECISIONS = {"approve": "通过", "send_back": "退回", "refuse": "不同意", "agree": "同意"}
# Acts on certificates, and what people are certified as.
DEEDS = {
    "certificate.ask": "申请签发证书",
    "certificate.confirm": "确认签发证书",
    "operator.appoint": "为操作员申请证书",
    "certificate.suspend": "挂起证书",
    "certificate.resume": "恢复证书",
    "certificate.revoke": "吊销证书",
}
PEOPLE = {
    "representative": "账户代表",
    "operator": "操作员",
    "province": "省级主管部门",
    "staff": "注册登记管理机构经办或复核",
    "system_admin": "系统管理员",
    "security_admin": "安全管理员",
    "auditor": "审计员",
}
CLASSES = {
    "emitter": "重点排放单位",
    "institution": "金融机构",
    "other": "其他非履约主体",
    "person": "自然人",
    "province": "省级主管部门",
    "state": "国家",
}
RIGHTS = {
    "hold": "可持有配额",
    "issue": "可获发放",
    "comply": "可清缴履约",
    "trade": "可交易",
    "cancel": "可自愿注销",
    "pledge": "可质押",
}
VALUES = {
    "decision": DECISIONS,
    "action": DECISIONS | {"submit": "提交", "withdraw": "撤回", "login": "登录"},
    "kind": KINDS | PEOPLE,
    "act": {
        "parameter.set": "设置系统参数",
        "calendar.change": "修改交易日历",
        "member.role": "修改角色",
        "operator.role": "修改操作员职责",
        "account.transfer_permission": "划转权限",
        "account.colleague_review": "操作复核",
        "account.group_consent": "集团查看授权",
        "member.disable": "停用用户",
        "member.enable": "启用用户",
        "operator.disable": "停用操作员",
        "operator.enable": "启用操作员",
        "credential.issue": "签发系统接入凭证",
        "credential.revoke": "吊销系统接入凭证",
        **DEEDS,
    },
    "is_trading": YES_NO,
    "is_allowed": YES_NO,
    "is_on": YES_NO,
    "is_given": YES_NO,
    "class": CLASSES,
    "rights": RIGHTS,
    "roles": ROLES,
}
PLACES = {key: place for place, key in enumerate(LABELS)}


def in_reading_order(keys: Iterable[str]) -> list[str]:
    """Return the keys in display order: known ones as above, then the others."""
    return sorted(keys, key=lambda key: PLACES.get(key, len(PLACES)))


def label_of(key: str) -> str:
    """Return the label of a key."""
    return LABELS.get(key, key)


def word_of(key: str, text: str, kind: str) -> str:
    """Return the word for a code, or ""; categories depend on ``kind``."""
    words = CATEGORIES.get(kind, {}) if key == "category" else VALUES.get(key, {})
    return words.get(text, "")
