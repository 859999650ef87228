"""履约通知书: issuing them, and changing obligation and 履约范围.

Each operation locks accounts, then notices, like the engine before its applications.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import (
    BigInteger,
    DateTime,
    Integer,
    Numeric,
    SmallInteger,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from app.domain.errors import NotFound, RuleError
from app.domain.moves import LARGEST_REQUEST
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import (
    Account,
    Instrument,
    Notice,
    NoticeChange,
    NoticeInstrument,
    OperationLog,
)
from app.models.figures import notice_surrender
from app.operations.compliance import attestations
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

FIRST_YEAR = 2019  # domain.md 3.1: the first compliance year
LATEST = 5  # years after the compliance year, for a deadline


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A notice to be issued."""

    account_id: int
    year: int
    obligation: int
    deadline: datetime
    instruments: tuple[int, ...]
    offset_percent: Decimal = Decimal(0)


@dataclass(slots=True)
class NoticeOutcome:
    """The notices done, and the RuleError of each that was refused."""

    done: list[int] = field(default_factory=list)
    refused: dict[int, RuleError] = field(default_factory=dict)

    def one(self) -> int:
        """Return the only notice's id, or raise its error."""
        for error in self.refused.values():
            raise error
        (id_,) = self.done
        return id_


@dataclass(slots=True)
class LockedNotice:
    """A locked notice with its surrendered and pending tonnes."""

    id: int
    number: str
    account_id: int
    year: int
    obligation: int
    offset_percent: Decimal
    deadline: datetime
    reminded_at: datetime | None
    surrendered: int
    pending: int
    offset_surrendered: int
    offset_pending: int

    @property
    def gap(self) -> int:
        """缺口, in tonnes; pending surrenders are not deducted."""
        return max(self.obligation - self.surrendered, 0)


# Issuing --------------------------------------------------------------------------------------


def issue(
    notices: Sequence[NewNotice], actor: Actor, *, now: datetime, import_id: int | None = None
) -> list[int]:
    """Issue all notices or none; return their ids in the order given.

    Raises NotFound for an account out of scope, RuleError for invalid content and where an
    enterprise has a notice for the year already.
    """
    offsets = _offsets({id_ for each in notices for id_ in each.instruments})
    for each in notices:
        require_valid(each, offsets, now)
    _lock_accounts({each.account_id for each in notices}, actor)
    made = {
        (row.account_id, row.year): row.id
        for row in db.session.execute(_ISSUE, _issue_values(notices, actor, now, import_id))
    }
    ids = [made.pop((each.account_id, each.year), None) for each in notices]
    for each, id_ in zip(notices, ids, strict=True):
        if id_ is None:
            account = db.session.get_one(Account, each.account_id)
            message = _(
                "%(name)s has a compliance notice for %(year)s already",
                name=account.name,
                year=each.year,
            )
            raise RuleError(message, field="year", code="notice_twice")
    return [id_ for id_ in ids if id_ is not None]


def require_valid(notice: NewNotice, offsets: frozenset[int], now: datetime) -> None:
    """Raise RuleError for invalid content; ``offsets`` are the instruments that are CCER."""
    if not FIRST_YEAR <= notice.year <= now.astimezone(BEIJING).year:
        message = _(
            "The compliance year must lie between %(first)s and the current year", first=FIRST_YEAR
        )
        raise RuleError(message, field="year", code="year_unknown")
    if not 0 <= notice.obligation <= LARGEST_REQUEST:
        message = _("Quantity is above the limit of %(limit)s tonnes", limit=f"{LARGEST_REQUEST:,}")
        raise RuleError(message, field="obligation", code="quantity_too_large")
    day = notice.deadline.astimezone(BEIJING).date()
    if not notice.year < day.year <= notice.year + LATEST:
        message = _("The deadline must lie after the compliance year, and within five years of it")
        raise RuleError(message, field="deadline", code="deadline_implausible")
    _require_scope_valid(notice.instruments, notice.offset_percent, offsets)


def _offsets(instruments: set[int]) -> frozenset[int]:
    """Return the CCER among these instruments.  Raises RuleError where one does not exist."""
    found = dict(db.session.execute(select(Instrument.id, Instrument.kind)).all())
    if not instruments <= found.keys():
        raise RuleError(
            _("This is not one of the instruments"), field="instruments", code="no_instrument"
        )
    return frozenset(id_ for id_ in instruments if found[id_] == "offset")


def _require_scope_valid(
    instruments: Sequence[int], percent: Decimal, offsets: frozenset[int]
) -> None:
    if not set(instruments) - offsets:
        raise RuleError(
            _("Choose at least one allowance that may be surrendered"),
            field="instruments",
            code="no_instruments",
        )
    if not 0 <= percent <= 100:
        raise RuleError(
            _("The share of CCER is a percentage between 0 and 100"),
            field="offset_percent",
            code="percent_unknown",
        )
    if bool(set(instruments) & offsets) != (percent > 0):
        raise RuleError(
            _("Where CCER is allowed, choose which, and enter the share that it may fulfil"),
            field="offset_percent",
            code="offset_incomplete",
        )


# Changing -------------------------------------------------------------------------------------


def adjust(
    obligations: Mapping[int, int],
    actor: Actor,
    *,
    now: datetime,
    document_no: str,
    reason: str,
) -> NoticeOutcome:
    """Change obligations, by notice id, on the basis of a document; the history is kept.

    Refused where surrendered tonnes would exceed the new obligation (R83), or surrendered CCER its
    share; that requires 清缴退还 first.
    """
    _require_document(document_no, reason)
    outcome, changed = NoticeOutcome(), []
    for notice in lock(list(obligations), actor, outcome):
        wanted = obligations[notice.id]
        try:
            _require_not_below_surrendered(notice, wanted)
        except RuleError as error:
            outcome.refused[notice.id] = error
        else:
            changed.append((notice, wanted))
    if not changed:
        return outcome
    with _notice_errors():
        db.session.execute(
            _ADJUST,
            {
                "ids": [notice.id for notice, _wanted in changed],
                "obligations": [wanted for _notice, wanted in changed],
            },
        )
    _keep_history(changed, actor, now, document_no, reason)
    attestations.lapse([notice.id for notice, _wanted in changed], actor, now)
    details = [{"before": s.obligation, "after": wanted} for s, wanted in changed]
    record("notice.adjust", [s for s, _wanted in changed], actor, details, document_no)
    outcome.done = [notice.id for notice, _wanted in changed]
    return outcome


def change_scope(
    notice_id: int,
    instruments: Sequence[int],
    offset_percent: Decimal,
    actor: Actor,
    *,
    now: datetime,
    document_no: str,
    reason: str,
) -> None:
    """Change a notice's 履约范围, unless approved surrenders contradict it.

    Surrenders under review are checked against the new scope on approval.
    """
    _require_document(document_no, reason)
    _require_scope_valid(instruments, offset_percent, _offsets(set(instruments)))
    outcome = NoticeOutcome()
    for notice in lock([notice_id], actor, outcome):
        _require_nothing_contradicts(notice, instruments, offset_percent)
        held = NoticeInstrument.notice_id == notice_id
        before = db.session.scalars(select(NoticeInstrument.instrument_id).where(held)).all()
        db.session.execute(delete(NoticeInstrument).where(held))
        rows = [{"notice_id": notice_id, "instrument_id": id_} for id_ in set(instruments)]
        db.session.execute(insert(NoticeInstrument), rows)
        db.session.execute(
            update(Notice).where(Notice.id == notice_id).values(offset_percent=offset_percent)
        )
        _keep_history([(notice, notice.obligation)], actor, now, document_no, reason)
        detail = {
            "before": {"instruments": sorted(before), "percent": str(notice.offset_percent)},
            "after": {"instruments": sorted(set(instruments)), "percent": str(offset_percent)},
        }
        record("notice.scope", [notice], actor, [detail], document_no)
        outcome.done = [notice_id]
    outcome.one()
    db.session.expire_all()


def _require_document(document_no: str, reason: str) -> None:
    if not document_no.strip():
        raise RuleError(
            _("Enter the number of the authority's document"),
            field="document_no",
            code="document_missing",
        )
    if not reason.strip():
        raise RuleError(_("Enter the reason"), field="reason", code="reason_missing")


def _require_not_below_surrendered(notice: LockedNotice, wanted: int) -> None:
    if not 0 <= wanted <= LARGEST_REQUEST:
        message = _("Quantity is above the limit of %(limit)s tonnes", limit=f"{LARGEST_REQUEST:,}")
        raise RuleError(message, field="obligation", code="quantity_too_large")
    if wanted == notice.obligation:
        raise RuleError(_("Nothing is changed yet"), field="obligation", code="unchanged")
    if wanted < notice.surrendered:
        raise _below_surrendered(notice, wanted)
    limit = int(wanted * notice.offset_percent / 100)
    if limit < notice.offset_surrendered:
        raise RuleError(
            _(
                "%(used)s tonnes of CCER have been surrendered for notice %(number)s, more than the"
                " %(limit)s tonnes it could take then: refund them first (surrender refunds)",
                used=f"{notice.offset_surrendered:,}",
                limit=f"{limit:,}",
                number=notice.number,
            ),
            field="obligation",
            code="offset_beneath",
        )


def _below_surrendered(notice: LockedNotice, wanted: int) -> RuleError:
    return RuleError(
        _(
            "%(surrendered)s tonnes have been surrendered for notice %(number)s; to lower it to"
            " %(wanted)s tonnes, %(excess)s tonnes must be refunded first (surrender refunds)",
            surrendered=f"{notice.surrendered:,}",
            number=notice.number,
            wanted=f"{wanted:,}",
            excess=f"{notice.surrendered - wanted:,}",
        ),
        field="obligation",
        code="beneath_surrendered",
    )


def _require_nothing_contradicts(
    notice: LockedNotice, instruments: Sequence[int], percent: Decimal
) -> None:
    used = db.session.execute(_USED, {"id": notice.id, "kept": list(instruments)}).all()
    if used:
        raise RuleError(
            _(
                "%(instruments)s has been surrendered for notice %(number)s and must stay among what"
                " it accepts",
                instruments="、".join(row.name for row in used),
                number=notice.number,
            ),
            field="instruments",
            code="scope_contradicts",
        )
    limit = int(notice.obligation * percent / 100)
    if limit < notice.offset_surrendered:
        raise RuleError(
            _(
                "%(used)s tonnes of CCER have been surrendered for notice %(number)s, more than"
                " %(limit)s tonnes",
                used=f"{notice.offset_surrendered:,}",
                number=notice.number,
                limit=f"{limit:,}",
            ),
            field="offset_percent",
            code="offset_beneath",
        )


# Locking and reading --------------------------------------------------------------------------


def surrender_figures() -> Any:
    """Return a lateral subquery of a notice's surrendered and pending tonnes.

    The sums make the planner evaluate the view per notice, not for all of them before the join.
    """
    return (
        select(
            *(
                cast(func.coalesce(func.sum(each), 0), BigInteger).label(each.name)
                for each in notice_surrender.c
                if each.name != "notice_id"
            )
        )
        .where(notice_surrender.c.notice_id == Notice.id)
        .correlate(Notice)
        .lateral("figures")
    )


def _lock_accounts(accounts: set[int], actor: Actor) -> None:
    """Lock accounts in id order.  Raises NotFound unless all are in scope."""
    locked = db.session.scalars(
        _LOCK_ACCOUNTS, {"ids": sorted(accounts), "province": actor.province}
    ).all()
    if set(locked) != accounts:
        raise NotFound(_("There is no such account"))


def lock(notice_ids: Sequence[int], actor: Actor, outcome: NoticeOutcome) -> list[LockedNotice]:
    """Lock accounts, then notices, and read their figures; missing ones are refused in ``outcome``."""
    assert actor.account_id is None, "an enterprise changes no notice"
    accounts = db.session.scalars(
        _LOCK_ACCOUNTS_OF, {"ids": list(notice_ids), "province": actor.province}
    ).all()
    asked = {"ids": list(notice_ids), "accounts": list(accounts)}
    locked = set(db.session.scalars(_LOCK_NOTICES, asked))
    for id_ in notice_ids:
        if id_ not in locked:
            outcome.refused[id_] = NotFound(_("There is no such compliance notice"))
    figures = surrender_figures()
    rows = db.session.execute(
        select(
            Notice.id,
            Notice.number,
            Notice.account_id,
            Notice.year,
            Notice.obligation,
            Notice.offset_percent,
            Notice.deadline,
            Notice.reminded_at,
            *figures.c,
        )
        .join(figures, text("true"))
        .where(Notice.id.in_(locked))
        .order_by(Notice.id)
    )
    return [LockedNotice(**row._mapping) for row in rows]


# Writing --------------------------------------------------------------------------------------


def _keep_history(
    changed: Sequence[tuple[LockedNotice, int]],
    actor: Actor,
    now: datetime,
    document_no: str,
    reason: str,
) -> None:
    db.session.execute(
        insert(NoticeChange),
        [
            {
                "notice_id": each.id,
                "before": each.obligation,
                "after": after,
                "document_no": document_no.strip()[:100],
                "reason": reason.strip()[:500],
                "changed_by": actor.member_id,
                "changed_at": now,
            }
            for each, after in changed
        ],
    )


def record(
    action: str,
    notices: Sequence[LockedNotice],
    actor: Actor,
    details: Sequence[dict[str, Any]],
    document_no: str,
) -> None:
    """Write one row of the operation log for each notice, in one statement."""
    document = {"document_no": document_no.strip()} if document_no else {}
    db.session.execute(
        insert(OperationLog),
        [
            {
                "member_id": actor.member_id,
                "member_no": actor.member_no,
                "ip": actor.ip,
                "certificate": actor.certificate,
                "action": action,
                "subject": each.number,
                "account_id": each.account_id,
                "detail": detail | document,
            }
            for each, detail in zip(notices, details, strict=True)
        ],
    )


@contextmanager
def _notice_errors() -> Iterator[None]:
    """Translate violations of the notices' constraints into RuleErrors; others propagate."""
    try:
        yield
    except IntegrityError as error:
        constraint = error.orig.diag.constraint_name  # type: ignore[union-attr]
        if constraint != "obligation_covers_surrendered":
            raise
        raise RuleError(
            _("More has been surrendered meanwhile: refund it first (surrender refunds)"),
            field="obligation",
            code="surrendered_meanwhile",
        ) from error


def _issue_values(
    notices: Sequence[NewNotice], actor: Actor, now: datetime, import_id: int | None
) -> dict[str, Any]:
    accepted = [(each, id_) for each in notices for id_ in sorted(set(each.instruments))]
    return {
        "accounts": [each.account_id for each in notices],
        "years": [each.year for each in notices],
        "obligations": [each.obligation for each in notices],
        "deadlines": [each.deadline for each in notices],
        "percents": [each.offset_percent for each in notices],
        "of_accounts": [each.account_id for each, _id in accepted],
        "of_years": [each.year for each, _id in accepted],
        "instruments": [id_ for _each, id_ in accepted],
        "import": import_id,
        **actor.as_parameters(now),
    }


_LOCK_ACCOUNTS = typed(
    """
    SELECT id FROM account
     WHERE id = ANY(:ids) AND kind = 'enterprise'
       AND (CAST(:province AS text) IS NULL OR province = :province)
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=Integer,
)

_LOCK_ACCOUNTS_OF = typed(
    """
    WITH asked AS MATERIALIZED (SELECT account_id FROM notice WHERE id = ANY(:ids))
    SELECT id FROM account
     WHERE id IN (SELECT account_id FROM asked)
       AND (CAST(:province AS text) IS NULL OR province = :province)
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=Integer,
)

_LOCK_NOTICES = typed(
    """
    SELECT id FROM notice WHERE id = ANY(:ids) AND account_id IN (SELECT unnest(:accounts))
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=Integer,
    accounts=Integer,
)

_ISSUE = typed(
    """
    WITH wanted AS (
           SELECT nextval(pg_get_serial_sequence('notice', 'id')) AS id, w.*
             FROM unnest(:accounts, :years, :obligations, :deadlines, :percents) WITH ORDINALITY
               AS w (account_id, year, obligation, deadline, offset_percent, n)
            ORDER BY n),
         made AS (
           INSERT INTO notice (id, number, account_id, year, obligation, deadline, offset_percent,
                               import_id, issued_by, issued_at)
           SELECT id, 'LT' || year || lpad(id::text, greatest(8, length(id::text)), '0'),
                  account_id, year, obligation, deadline, offset_percent,
                  CAST(:import AS bigint), CAST(:member AS integer), :at
             FROM wanted ORDER BY account_id, year
           ON CONFLICT (account_id, year) DO NOTHING
           RETURNING id, number, account_id, year, obligation),
         scope AS (
           INSERT INTO notice_instrument (notice_id, instrument_id)
           SELECT made.id, s.instrument_id
             FROM unnest(:of_accounts, :of_years, :instruments)
               AS s (account_id, year, instrument_id)
             JOIN made USING (account_id, year)),
         logged AS (
           INSERT INTO operation_log (member_id, member_no, ip, certificate, action, subject,
                                      account_id, detail)
           SELECT CAST(:member AS integer), :member_no, :ip, :certificate, 'notice.issue', number,
                  account_id, jsonb_build_object('year', year, 'obligation', obligation)
             FROM made)
    SELECT id, account_id, year FROM made
    """,
    accounts=Integer,
    years=SmallInteger,
    obligations=BigInteger,
    deadlines=DateTime,
    percents=Numeric,
    of_accounts=Integer,
    of_years=SmallInteger,
    instruments=Integer,
)

_ADJUST = typed(
    """
    UPDATE notice n SET obligation = w.obligation
      FROM unnest(:ids, :obligations) AS w (id, obligation) WHERE n.id = w.id
    """,
    ids=Integer,
    obligations=BigInteger,
)

# Instruments with surrendered tonnes that the new scope would exclude.
_USED = typed(
    """
    SELECT i.code, i.name
      FROM notice_surrender_line s JOIN instrument i ON i.id = s.instrument_id
     WHERE s.notice_id = :id AND s.instrument_id <> ALL(:kept)
     GROUP BY i.id HAVING sum(s.surrendered) > 0
     ORDER BY i.code
    """,
    kept=Integer,
)
