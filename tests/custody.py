"""Deposits, links and returns (manual 六-一) for several test modules; each function commits."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

from app.domain.workflow import Case, Line
from app.extensions import db, transaction
from app.models import Account, Application, ApplicationLine, Instrument, Member
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import account, entered, issued_to, member, submitted

DEPOSIT, LINK, RETURN = "custody_deposit", "custody_link", "custody_return"
Shares = dict[Account, int]


def parties(tonnes: int) -> SimpleNamespace:
    """甲, 乙, 丙, 丁 as a to d, their operators of_a to of_d, the officers, and a's holding."""
    found = SimpleNamespace()
    for name, title in {"a": "甲发电", "b": "乙发电", "c": "丙发电", "d": "丁发电"}.items():
        row = account(f"{title}有限公司")
        setattr(found, name, row)
        setattr(found, f"of_{name}", member(of=row))
    found.maker, found.checker = member("registry_maker"), member("registry_checker")
    found.cea = issued_to(found.a, tonnes)
    return found


def approve(id_: int, by: Member, comment: str = "同意") -> Case:
    with transaction():
        return engine.approve([id_], Actor.of(by), now=clock.now(), comment=comment).one()


def send_back(id_: int, by: Member, comment: str = "数量有误") -> Case:
    with transaction():
        return engine.send_back([id_], Actor.of(by), now=clock.now(), comment=comment).one()


def submit(id_: int, by: Member) -> Case:
    with transaction():
        return engine.submit([id_], Actor.of(by), now=clock.now()).one()


def withdraw(id_: int, by: Member) -> Case:
    with transaction():
        return engine.withdraw([id_], Actor.of(by), now=clock.now()).one()


def deposited(by: Member, lines: dict[Instrument, int], officer: Member) -> int:
    """Deposit and approve; return the application's id."""
    case = submitted(DEPOSIT, by, lines, category="merger", reason="企业合并")
    approve(case.id, officer)
    return case.id


def link(about: Account, others: list[Account], maker: Member, checker: Member) -> int:
    """Link an enterprise with others, by two officers."""
    made = entered(
        LINK, about, maker, document_no="", authority="", starts_on=None,
        receivers=tuple(each.id for each in others),
    )  # fmt: skip
    approve(made, checker)
    return made


def distribution(deposit: int, shares: Shares) -> tuple[Line, ...]:
    """Return the lines that distribute every instrument of a deposit in these shares."""
    lines = db.session.scalars(
        db.select(ApplicationLine).where(ApplicationLine.application_id == deposit)
    ).all()
    return tuple(
        Line(line.instrument_id, tonnes, account_id=to.id, source_line_id=line.id)
        for line in lines
        for to, tonnes in shares.items()
    )


def asked(by: Member, lines: tuple[Line, ...]) -> engine.Draft:
    """Return the draft of a return."""
    assert by.account_id is not None
    return engine.Draft(RETURN, by.account_id, lines, str(uuid4()), reason="返还")


def drafted(by: Member, lines: tuple[Line, ...]) -> int:
    """Save a return as a draft."""
    with transaction():
        (made,) = engine.start([asked(by, lines)], Actor.of(by), now=clock.now())
    return made


def edited(id_: int, by: Member, lines: tuple[Line, ...]) -> None:
    """Edit a draft or a returned application."""
    with transaction():
        engine.edit(id_, asked(by, lines), Actor.of(by), now=clock.now())


def returning(by: Member, deposit: int, shares: Shares) -> int:
    """Save and submit a return."""
    made = drafted(by, distribution(deposit, shares))
    submit(made, by)
    return made


def standing(id_: int) -> tuple[str, int]:
    """Return status and step."""
    db.session.expire_all()
    row = db.session.get_one(Application, id_)
    return row.status, row.step


def agreed(id_: int) -> list[int]:
    """Return the accounts that have agreed."""
    db.session.expire_all()
    row = db.session.get_one(Application, id_)
    return [party.account_id for party in row.parties if party.agreed_at]
