"""开户, 账户信息修改 and 证书补办: accounts, their details, and the certificates that sign for them."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.accounts import CLASSES, EMITTER, OPENED, PERSON, is_asked
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_REASON, Facts, Rule, Violation
from app.domain.workflow import Case, Party

# Needed to identify the account's holder and to reach its representative.
NEEDED = ("name", "uscc", "province", "representative_phone", "representative_email")


def _class_of(case: Case) -> str:
    return str(case.proposal.get("holder_class", ["", EMITTER])[1])


def _incomplete(case: Case, facts: Facts) -> Violation | None:
    of_class = _class_of(case)
    needed = [name for name in NEEDED if is_asked(name, of_class)]
    needed += ["representative_identity_no"] if of_class == PERSON else []
    return None if all(name in case.proposal for name in needed) else Violation()


def _not_admitted(case: Case, facts: Facts) -> Violation | None:
    of_class = _class_of(case)
    if of_class in OPENED and (of_class != PERSON or facts.life.persons_admitted):
        return None
    return Violation("holder_class", {"class": str(CLASSES.get(of_class, of_class))})


def _undeclared(case: Case, facts: Facts) -> Violation | None:
    is_declared = case.proposal.get("declared", ["", ""])[1] == "yes"
    return None if is_declared or _class_of(case) == EMITTER else Violation("declared")


HAS_DETAILS = Rule(
    "details_missing",
    _("The details of the enterprise are not complete"),
    _incomplete,
    at=BOTH,
)
# C11: REG21-4 would allow persons; they are off by a parameter.
CLASS_IS_ADMITTED = Rule(
    "class_not_admitted",
    _("Accounts of the class %(class)s are not opened"),
    _not_admitted,
    at=BOTH,
)
# 条例 7: staff of regulators, registry, exchange and verifiers hold and trade no allowances.
IS_DECLARED = Rule(
    "declaration_missing",
    _(
        "It has to be declared that the holder is no authority, registry, exchange or verifier, nor"
        " anybody of their staff"
    ),
    _undeclared,
    at=BOTH,
)
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
HAS_HOLDER = Rule(
    "holder_missing",
    _("Choose the certificate that is to be replaced"),
    lambda case, facts: None if case.proposal.get("member_no") else Violation(),
    at=BOTH,
)


class AccountOpening(Kind):
    """开户 (manual 二-一): the registry enters an enterprise, another officer confirms.

    The account is created on the second officer's approval; until then it is a proposal.

    The application belongs to the registry's own account (docs/adr/0039).
    """

    code = "account_opening"
    title = _("Account opening")
    prefix = "KH"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    certifies = True
    debits = False
    rules = (HAS_DETAILS, CLASS_IS_ADMITTED, IS_DECLARED, CODE_IS_FREE)


class AccountChange(Kind):
    """账户信息修改 (manual 二-三): an enterprise proposes new details; the registry reviews them.

    The old values stay in force until approval, phone and e-mail included (domain.md 11.11).
    """

    code = "account_change"
    title = _("Account detail change")
    prefix = "XG"
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules = (HAS_PROPOSAL, CODE_IS_FREE, HAS_ATTACHMENTS)


class CertificateReplacement(Kind):
    """证书补办: two officers replace the certificate of a lost or broken USBKey (security.md 4).

    The old certificate is valid until the new one is issued, unless it is revoked before.
    """

    code = "certificate_replacement"
    title = _("Certificate replacement")
    prefix = "BZ"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    certifies = True
    debits = False
    rules = (HAS_HOLDER, HAS_REASON)
