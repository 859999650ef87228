"""Account details: their fields as data, validation, proposals and changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from phonenumbers import PhoneNumberType
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from stdnum.cn import ric, uscc

from app.domain import texts
from app.domain.errors import RuleError
from app.domain.texts import folded
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db
from app.models import Account, AccountDetail, Member
from app.models.encrypted import decrypt, encrypt
from app.operations.accounts import sectors
from app.operations.people import certificates, letters
from app.operations.records import clock, glyphs, outbox
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS

LONGEST_SHOWN = 64  # of a member's name

_OFFERED = LazyString(lambda: "、".join(map(str, SECTORS.offered().values())))


# Validators: each returns the normalised value or raises ValueError.


def _plain(text: str) -> str:
    return text


def _name(text: str) -> str:
    glyphs.require_drawable(text, BY_NAME["name"].title, field="name")
    return text


def _credit_code(text: str) -> str:
    return str(uscc.validate(folded(text)))  # GB 32100-2015: 18 characters with a check character.


def _phone(text: str) -> str:
    """Require a mobile number, since codes are sent there by text message."""
    number = phonenumbers.parse(text, "CN")
    mobile = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
    if phonenumbers.number_type(number) not in mobile or number.extension:
        raise ValueError
    if number.country_code == 86:
        return str(phonenumbers.national_significant_number(number))
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _email(text: str) -> str:
    """Check the syntax only, without DNS; the address must be ASCII."""
    found = validate_email(text, check_deliverability=False, allow_smtputf8=False)
    return found.ascii_email or found.normalized


def _identity(text: str) -> str:
    """GB 11643-1999: 18 characters with a day of birth and a check character.

    Not `ric.validate`, which requires that the county existed in the year of birth: numbers may be
    assigned later.
    """
    number = str(ric.compact(text.upper()))
    if not re.fullmatch("[0-9]{17}[0-9X]", number) or number[-1] != ric.calc_check_digit(number):
        raise ValueError
    ric.get_birth_date(number)
    return number


def _bank_account(text: str) -> str:
    digits = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"[0-9]{8,30}", digits, re.ASCII):
        raise ValueError
    return digits


@dataclass(frozen=True, slots=True)
class DetailField:
    """One field of the details; ``read`` returns the normalised value or raises ValueError."""

    name: str
    title: Any
    longest: int = 100
    is_required: bool = True
    read: Callable[[str], str] = _plain
    wrong: Any = ""  # message where ``read`` refuses
    is_personal: bool = False  # encrypted at rest, masked on screen
    of_account: bool = False  # a column of `account`
    of_sectors: bool = False  # rows of `account_sector`

    @property
    def of_details(self) -> bool:
        """Whether it is a column of `account_detail`."""
        return not (self.of_account or self.of_sectors)


FIELDS: tuple[DetailField, ...] = (
    DetailField("name", _("Enterprise name"), 200, read=_name, of_account=True),
    DetailField(
        "uscc",
        _("Unified social credit code"),
        18,
        read=_credit_code,
        wrong=_("The unified social credit code has 18 characters and must pass its own check"),
        of_account=True,
    ),
    DetailField(
        "sector",
        _("Sector"),
        200,
        wrong=_("Choose one of the sectors offered: %(offered)s", offered=_OFFERED),
        of_sectors=True,
    ),
    DetailField("registered_address", _("Registered address"), 300),
    DetailField("legal_representative", _("Legal representative")),
    DetailField("representative", _("Account representative")),
    DetailField(
        "representative_phone",
        _("Representative's mobile phone"),
        30,
        read=_phone,
        wrong=_("This is no valid phone number of a mobile, to which codes can be sent"),
        is_personal=True,
    ),
    DetailField(
        "representative_email",
        _("Representative's e-mail"),
        254,
        read=_email,
        wrong=_("This is no valid e-mail address"),
        is_personal=True,
    ),
    DetailField(
        "representative_identity_no",
        _("Representative's identity number"),
        18,
        read=_identity,
        wrong=_("The identity number has 18 characters and must pass its own check"),
        is_personal=True,
    ),
    DetailField("bank_name", _("Bank"), 200, is_required=False),
    DetailField(
        "bank_account",
        _("Bank account number"),
        40,
        is_required=False,
        read=_bank_account,
        wrong=_("A bank account number has 8 to 30 digits"),
        is_personal=True,
    ),
)
PERSON = (
    "representative",
    "representative_identity_no",
)  # A change of these means another person.
BY_NAME: Mapping[str, DetailField] = {field.name: field for field in FIELDS}


def current(account_id: int) -> dict[str, str]:
    """Return the details of an account by field; missing ones are ""."""
    both = select(Account, AccountDetail).where(Account.id == account_id)
    joined = both.outerjoin(AccountDetail, AccountDetail.account_id == Account.id)
    account, detail = db.session.execute(joined.execution_options(populate_existing=True)).one()
    found = {
        field.name: str(getattr(account if field.of_account else detail, field.name, "") or "")
        for field in FIELDS
    }
    today = clock.now().astimezone(BEIJING).date()
    return found | {"sector": _in_order(sectors.of_account(account_id, today))}


def read(
    typed: Mapping[str, str], before: Mapping[str, str] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Validate typed details; return (normalised values, messages), by field.

    A sector no longer in force is accepted where it was among those ``before``.
    """
    values: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for field in FIELDS:
        if field.name not in typed:
            continue
        try:
            values[field.name] = _value(field, typed[field.name])
        except RuleError as error:
            wrong[field.name] = str(error)
    chosen = sectors.split(values.get("sector", ""))
    kept = sectors.split((before or {}).get("sector", ""))
    unknown = [each for each in chosen if each not in SECTORS.offered() and each not in kept]
    if unknown:
        wrong["sector"] = wrong_value(BY_NAME["sector"], "、".join(unknown))
        del values["sector"]
    elif chosen:
        values["sector"] = _in_order(chosen)
    return values, wrong


def _in_order(codes: Sequence[str]) -> str:
    return sectors.BETWEEN.join(each for each in SECTORS if each in codes)


def _value(field: DetailField, typed: str) -> str:
    text = texts.composed(typed).strip()
    if not text:
        if field.is_required:
            raise RuleError(gettext("Please fill this in"), field=field.name, code="field_missing")
        return ""
    if len(text) > field.longest:
        message = gettext("This is longer than %(most)d characters", most=field.longest)
        raise RuleError(message, field=field.name, code="field_too_long")
    unshowable = texts.unshowable(text, has_lines=False)
    if unshowable is not None:
        raise RuleError(str(unshowable.message), field=field.name, code="field_untypable")
    try:
        return field.read(text)
    except (ValueError, EmailNotValidError, phonenumbers.NumberParseException) as error:
        code = f"{field.name}_wrong"
        raise RuleError(wrong_value(field, text), field=field.name, code=code) from error


def wrong_value(field: DetailField, typed: str) -> str:
    """Return the message about a refused value, quoting it."""
    return gettext("%(wrong)s (read: %(typed)s)", wrong=field.wrong, typed=typed[:LONGEST_SHOWN])


def propose(before: Mapping[str, str], values: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the changes as a proposal: field -> [before, after], personal data encrypted."""
    return {
        name: [_encrypt(name, before.get(name, "")), _encrypt(name, value)]
        for name, value in values.items()
        if value != before.get(name, "")
    }


def proposed(proposal: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    """Decrypt a proposal: field -> (before, after), in the order of FIELDS."""
    return {
        field.name: (_decrypt(field.name, pair[0]), _decrypt(field.name, pair[1]))
        for field in FIELDS
        if (pair := proposal.get(field.name))
    }


def _encrypt(name: str, value: str) -> str:
    return encrypt(value, f"proposal.{name}") if BY_NAME[name].is_personal else value


def _decrypt(name: str, value: str) -> str:
    return decrypt(value, f"proposal.{name}") if BY_NAME[name].is_personal else value


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Apply approved changes, which also supply the documents that a batch opening lacked.

    Raises RuleError where another account has the credit code by now (登记管理规则 7).  Notifies the
    account representative, at the old and the new address.
    """
    for case in cases:
        pairs = proposed(case.proposal)
        after = {name: pair[1] for name, pair in pairs.items()}
        addresses = {current(case.account_id)["representative_email"]}
        account = db.session.get_one(Account, case.account_id)
        if any(pairs.get(name, ("", ""))[0] for name in PERSON):
            _revoke_former_representative(account, actor)
        set_details(case.account_id, after, now.astimezone(BEIJING).date())
        account.lacks_documents = False
        addresses.add(after.get("representative_email", ""))
        _notify_representative(account, sorted(addresses - {""}), list(after), case.number, now)
    db.session.flush()


def _revoke_former_representative(account: Account, actor: Actor) -> None:
    """Revoke the former representative's certificates, with sessions and open codes.

    The new one gets a certificate by 证书补办.
    """
    own = db.session.scalar(select(Member.id).where(Member.username == account.member_no))
    if own is not None:
        certificates.revoke_all(own, "affiliationChanged", actor, now=letters.real_time())


def _notify_representative(
    account: Account, addresses: Sequence[str], names: Sequence[str], number: str, now: datetime
) -> None:
    """Notify the representative which fields have changed, without their values."""
    body = gettext(
        "The details of account %(number)s were changed at %(time)s by application %(application)s:"
        " %(fields)s. If your enterprise did not apply for it, call the service telephone"
        " 400-991-1188 at once.",
        number=account.member_no,
        time=f"{now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        application=number,
        fields="、".join(str(field.title) for field in FIELDS if field.name in names),
    )
    outbox.send(
        *(
            outbox.Message(
                channel="mail",
                recipient=address,
                subject=gettext("Account details were changed"),
                body=body,
                purpose="account_change.approved",
                account_id=account.id,
                dedupe_key=f"account_change:{number}:{address}",
            )
            for address in addresses
        )
    )


def set_details(account_id: int, values: Mapping[str, str], day: date) -> None:
    """Write details validated by `read`, and update the representative's name and address.

    Sectors change on ``day``.
    """
    _require_free_code(account_id, values.get("uscc", ""))
    account = db.session.get_one(Account, account_id)
    for name, value in values.items():
        if BY_NAME[name].of_account:
            setattr(account, name, value)
    _update_representative(account, values)
    if "sector" in values:
        sectors.change(account_id, sectors.split(values["sector"]), day)
    rest = {name: value for name, value in values.items() if BY_NAME[name].of_details}
    if rest:
        statement = insert(AccountDetail).values(account_id=account_id, **rest)
        db.session.execute(
            statement.on_conflict_do_update(index_elements=["account_id"], set_=rest)
        )


def _update_representative(account: Account, values: Mapping[str, str]) -> None:
    """Copy name and address to the representative's member (username = 会员编号)."""
    db.session.flush()
    own = Member.username == account.member_no
    if values.get("name"):
        db.session.execute(
            update(Member).where(own).values(first_name=values["name"][:LONGEST_SHOWN])
        )
    address = values.get("representative_email")
    if address:  # unique among members; unchanged where another member has it
        taken = select(Member.id).where(Member.email == address)
        db.session.execute(update(Member).where(own, ~taken.exists()).values(email=address))


def _require_free_code(account_id: int, code: str) -> None:
    taken = select(Account.id).where(Account.uscc == code, Account.id != account_id)
    if code and db.session.scalar(taken) is not None:
        raise RuleError(
            gettext("Another account has this unified social credit code already"),
            field="uscc",
            code="uscc_taken",
        )
