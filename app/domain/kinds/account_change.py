"""账户信息修改 (manual 二-三): an enterprise proposes new details; the registry reviews them."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, Rule, Violation
from app.domain.workflow import Party

HAS_PROPOSAL = Rule(
    "nothing_changes",
    _("Nothing is changed yet"),
    lambda case, facts: None if case.proposal else Violation(),
)
# Manual 二-三: 批量开户用户需上传开户相关附件信息后方可提交信息修改申请.
HAS_ATTACHMENTS = Rule(
    "attachments_missing",
    _("The account was opened in a batch: upload the opening documents first"),
    lambda case, facts: Violation("attachments") if case.id in facts.lacking_documents else None,
    at=BOTH,
)
# 登记管理规则 7: one account a subject.
CODE_IS_FREE = Rule(
    "uscc_taken",
    _("Another account has this unified social credit code already"),
    lambda case, facts: Violation("uscc") if case.id in facts.duplicate_uscc else None,
    at=BOTH,
)


class AccountChange(Kind):
    """The old values stay in force until approval, phone and e-mail included (domain.md 11.11)."""

    code = "account_change"
    title = _("Account detail change")
    prefix = "XG"
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules = (HAS_PROPOSAL, CODE_IS_FREE, HAS_ATTACHMENTS)
