"""Kinds of applications, their types, and roles in Chinese; tools/words.py writes them."""

KINDS = {
    "account_opening": "开户",
    "account_change": "账户信息修改",
    "certificate_replacement": "证书补办",
    "issuance": "配额发放",
    "registry_to_trading": "登记发起登记转交易",
    "trading_to_registry": "交易发起交易转登记",
    "exchange_registry_to_trading": "交易发起登记转交易",
    "trade_settlement": "交易结算",
    "bank_binding": "银行账户绑定",
    "deposit": "入金",
    "withdrawal": "出金",
    "notice": "履约通知书办理",
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
}
CATEGORIES = {
    "issuance": {
        "pre_allocation": "预分配",
        "approved": "核定",
        "supplementary": "补发",
        "adjustment": "调整",
    },
    "custody_deposit": {
        "merger": "合并",
        "split": "分立",
        "restructuring": "重组",
        "other": "其他",
    },
    "freeze": {
        "judicial": "司法冻结",
        "supervision": "监管措施",
        "dispute": "权属争议",
        "other": "其他",
    },
    "confiscation": {
        "true_up": "多退少补收回",
        "judicial": "司法决定",
        "penalty": "处罚",
    },
}
ROLES = {
    "enterprise": "重点排放单位",
    "enterprise_maker": "重点排放单位经办",
    "enterprise_checker": "重点排放单位复核",
    "province": "省级主管部门",
    "registry_maker": "注册登记管理机构（经办）",
    "registry_checker": "注册登记管理机构（复核）",
    "system_admin": "系统管理员",
    "security_admin": "安全管理员",
    "auditor": "审计员",
}
