"""结转: what the rules read of rounds, notices and batches; approved rounds and notices take effect."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, DateTime, Integer, String, bindparam, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from app.domain.compliance.carry_over import CarryOvers, NoticeFacts, RoundFacts, Summary
from app.domain.errors import RuleError
from app.domain.kinds.compliance.carry_over import (
    CarryOver,
    CarryOverBatch,
    CarryOverNotices,
    CarryOverRound,
    year_of,
)
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case, Status
from app.extensions import db, violated
from app.models import Application, CarryOverNotice, Instrument
from app.models import CarryOverRound as Round
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

DECIDED = (CarryOverRound.code, CarryOverNotices.code, CarryOverBatch.code)


def latest(year: int) -> Round | None:
    """Return the version of a year's round that holds."""
    about = select(Round).options(joinedload(Round.target))
    found = about.where(Round.year == year).order_by(Round.id.desc()).limit(1)
    return db.session.scalars(found).first()


def rounds() -> Sequence[Round]:
    """Return the rounds, each in the version that holds, the newest first."""
    newest = select(func.max(Round.id)).group_by(Round.year)
    about = select(Round).options(joinedload(Round.target))
    found = about.where(Round.id.in_(newest)).order_by(Round.year.desc())
    return db.session.scalars(found).all()


def notice_for(account_id: int, year: int | None = None) -> CarryOverNotice | None:
    """Return an enterprise's notice of a year, or its newest one."""
    found = select(CarryOverNotice).where(CarryOverNotice.account_id == account_id)
    if year is not None:
        found = found.where(CarryOverNotice.year == year)
    return db.session.scalars(found.order_by(CarryOverNotice.year.desc()).limit(1)).first()


def taken_of(notice_id: int) -> tuple[int, int]:
    """Return the tonnes of a notice that are carried over, and those under review."""
    row = db.session.execute(_TAKEN, {"ids": [str(notice_id)]}).first()
    return (row.approved, row.pending) if row else (0, 0)


def notices_to_make(round_: Round, day: date) -> Summary:
    """Return what the notices of a round would come to, by the plans in force on a day."""
    row = db.session.execute(_SUMMARY, {"round": round_.id, "day": day}).one()
    return Summary(row.enterprises, int(row.tonnes), row.digest)


def outlook(round_: Round, day: date) -> tuple[Summary, dict[str, int], list[tuple[date, str]]]:
    """Return what the notices would come to, how many get none by the reason, and what hinders them.

    In one statement.
    """
    row = db.session.execute(_OUTLOOK, {"round": round_.id, "day": day}).one()
    hindrances = [(date.fromisoformat(on), what) for on, what in row.obstacles or ()]
    summary = Summary(row.enterprises, int(row.tonnes), row.digest)
    return summary, dict(row.without or {}), hindrances


def refusal_of(round_: Round, account_id: int, day: date) -> tuple[str, str]:
    """Return why an enterprise gets no notice, and the notice not fulfilled; blank where it may."""
    asked = {"round": round_.id, "account": account_id, "day": day}
    row = db.session.execute(_REFUSAL, asked).first()
    return (row.refusal or "", row.unfulfilled or "") if row else ("", "")


def batch_of(year: int, until: str) -> Summary:
    """Return what the applications submitted until a day come to."""
    row = db.session.execute(_BATCH, {"year": year, "until": until}).one()
    return Summary(row.applications, row.tonnes, row.digest)


def batch_lines(year: int, until: str) -> list[dict[str, str]]:
    """Return a batch's tonnes by instrument, as its proposal says them."""
    rows = db.session.execute(_BATCH_LINES, {"year": year, "until": until})
    return [{"code": row.code, "name": row.name, "tonnes": str(row.tonnes)} for row in rows]


# What the rules read --------------------------------------------------------------------------------


def gather(cases: Sequence[Case], today: date) -> dict[str, Any]:
    """Return what the rules about carry-overs read."""
    decided = [case for case in cases if case.kind in DECIDED]
    asked = [case for case in cases if case.kind == CarryOver.code]
    if not decided and not asked:
        return {}
    found = CarryOvers()
    if decided:
        _about_decisions(found, decided, today)
    if asked:
        _about_applications(found, asked, today)
    return {"carry_overs": found}


def _about_decisions(found: CarryOvers, cases: Sequence[Case], today: date) -> None:
    known = {each.year: each for each in rounds()}
    counts = dict(
        db.session.execute(
            select(CarryOverNotice.year, func.count()).group_by(CarryOverNotice.year)
        ).all()
    )
    found.rounds = {
        year: RoundFacts(each.id, each.values(), counts.get(year, 0))
        for year, each in known.items()
    }
    found.targets = dict(
        db.session.execute(
            select(Instrument.code, Instrument.vintage).where(Instrument.kind == "allowance")
        ).all()
    )
    review = select(
        Application.kind, Application.proposal["year"].astext, Application.number
    ).where(Application.kind.in_(DECIDED), Application.status == Status.IN_REVIEW)
    found.under_review = {
        (kind, int(year)): number for kind, year, number in db.session.execute(review)
    }
    making = [each for each in cases if each.kind == CarryOverNotices.code]
    about = {case.id: known[year_of(case)] for case in making if year_of(case) in known}
    found.obstacles = {each.id: obstacles(each) for each in about.values()}
    found.summaries = {
        case.id: notices_to_make(about[case.id], _day_of(case, today))
        for case in making
        if case.id in about
    }
    found.batches = {
        (year_of(case), until): batch_of(year_of(case), until)
        for case in cases
        if case.kind == CarryOverBatch.code and (until := _until(case))
    }


def obstacles(round_: Round) -> list[tuple[date, str]]:
    """Return the days of a round's deals on which the books do not agree yet (N68)."""
    return [(row.day, row.obstacle) for row in db.session.execute(_OBSTACLES, {"id": round_.id})]


def _day_of(case: Case, today: date) -> date:
    return _as_day(case.proposal.get("day")) or today


def _until(case: Case) -> str:
    day = _as_day(case.proposal.get("until"))
    return day.isoformat() if day else ""


def _as_day(text_: Any) -> date | None:
    try:
        return date.fromisoformat(str(text_))
    except ValueError:
        return None


def _about_applications(found: CarryOvers, cases: Sequence[Case], today: date) -> None:
    named = {str(case.proposal.get("notice") or "") for case in cases}
    found.notices = _notices([int(each) for each in named if each.isdigit() and len(each) < 10])
    refused = {
        (case.account_id, year_of(case))
        for case in cases
        if str(case.proposal.get("notice") or "") not in {str(id_) for id_ in found.notices}
    }
    known = {each.year: each for each in rounds()} if refused else {}
    found.refusals = {
        (account, year): refusal_of(known[year], account, today)
        for account, year in refused
        if year in known
    }
    cited = {str(case.proposal.get("release") or "").strip() for case in cases} - {""}
    if cited:
        accounts = {case.account_id for case in cases}
        found.released = released_to(accounts, cited)


def _notices(ids: Collection[int]) -> dict[int, NoticeFacts]:
    rows = db.session.execute(_NOTICES, {"ids": list(ids), "texts": [str(each) for each in ids]})
    return {
        row.id: NoticeFacts(
            row.account_id,
            row.number,
            row.quota,
            row.taken,
            frozenset(row.instruments or ()),
            row.made_at.astimezone(BEIJING).date(),
            row.apply_until,
        )
        for row in rows
    }


def released_to(
    accounts: Collection[int], numbers: Collection[str] | None = None
) -> dict[tuple[int, str, int], int]:
    """Return what was released of judicial freezes and is not applied for yet, in tonnes.

    By account, number of the release and instrument; of these releases, or of all (N72).
    """
    rows = db.session.execute(
        _RELEASED, {"accounts": list(accounts), "numbers": list(numbers or ()),
                    "any": numbers is None},
    )  # fmt: skip
    return {(row.account_id, row.number, row.instrument_id): row.rest for row in rows}


# What approvals bring about -------------------------------------------------------------------------


def carry_out_rounds(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Write the versions of approved rounds, in the approval's transaction."""
    with _carry_over_errors():
        db.session.execute(_CARRY_OUT_ROUNDS, {"ids": [case.id for case in cases]})


def carry_out_notices(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Make the notices of approved applications, all of a round in one statement."""
    with _carry_over_errors():
        db.session.execute(_CARRY_OUT_NOTICES, {"ids": [case.id for case in cases], "at": now})
    for case in cases:
        log.record(actor, "carry_over.notices", subject=case.number, **case.proposal)


@contextmanager
def _carry_over_errors() -> Iterator[None]:
    """Translate violations of what officers decided into RuleErrors; others propagate."""
    try:
        yield
    except IntegrityError as error:
        if (violated(error) or "").startswith("carry_over_"):
            raise RuleError(
                _("It is another one by now; send the application back and enter it anew"),
                code="carry_over_changed_meanwhile",
            ) from error
        raise


_CARRY_OUT_ROUNDS = typed("SELECT carry_out_carry_over_rounds(:ids)", ids=BigInteger)
_CARRY_OUT_NOTICES = typed(
    "SELECT carry_out_carry_over_notices(:ids, :at)", ids=BigInteger
).bindparams(bindparam("at", type_=DateTime(timezone=True)))
_SUMMARY = text("SELECT * FROM carry_over_summary(:round, :day)")
_OBSTACLES = text("SELECT * FROM carry_over_obstacles(:id)")
_OUTLOOK = text("""
    SELECT s.*,
           (SELECT jsonb_object_agg(w.refusal, w.n)
              FROM (SELECT refusal, count(*) AS n FROM carry_over_figures(:round, :day)
                     WHERE refusal IS NOT NULL AND holding > 0 GROUP BY refusal) w) AS without,
           (SELECT jsonb_agg(jsonb_build_array(o.day, o.obstacle) ORDER BY o.day)
              FROM carry_over_obstacles(:round) o) AS obstacles
      FROM carry_over_summary(:round, :day) s
""")
_REFUSAL = text("SELECT refusal, unfulfilled FROM carry_over_figures(:round, :day, :account)")
_BATCH = text("""
    SELECT count(DISTINCT a.id)::integer AS applications, coalesce(sum(l.quantity), 0)::bigint AS tonnes,
           encode(sha256(convert_to(coalesce(string_agg(each.said, ',' ORDER BY a.id, l.id), ''),
                                    'UTF8')), 'hex') AS digest
      FROM carry_overs_of_batch(:year, CAST(:until AS date)) b
      JOIN application a ON a.id = b.application_id
      JOIN application_line l ON l.application_id = a.id
     CROSS JOIN LATERAL (SELECT concat_ws(':', a.number, l.instrument_id, l.quantity) AS said) each
""")
_BATCH_LINES = text("""
    SELECT i.code, i.name, sum(l.quantity)::bigint AS tonnes
      FROM carry_overs_of_batch(:year, CAST(:until AS date)) b
      JOIN application_line l ON l.application_id = b.application_id
      JOIN instrument i ON i.id = l.instrument_id
     GROUP BY i.code, i.name ORDER BY i.code
""")
_TAKEN = typed(
    """
    SELECT coalesce(sum(l.quantity) FILTER (WHERE a.status = 'approved'), 0)::bigint AS approved,
           coalesce(sum(l.quantity) FILTER (WHERE a.status = 'in_review'), 0)::bigint AS pending
      FROM application a JOIN application_line l ON l.application_id = a.id
     WHERE a.kind = 'carry_over' AND a.status IN ('in_review', 'approved')
       AND a.proposal ->> 'notice' = ANY(:ids)
    """,
    ids=String,
)
_NOTICES = typed(
    """
    SELECT n.id, n.account_id, n.number, n.quota, n.made_at, w.apply_until,
           coalesce(t.taken, 0)::bigint AS taken,
           (SELECT array_agg(i.id) FROM instrument i
             WHERE i.kind = 'allowance' AND i.vintage = ANY(r.vintages)) AS instruments
      FROM carry_over_notice n
      JOIN carry_over_round r ON r.id = n.round_id
     CROSS JOIN LATERAL (SELECT apply_until FROM carry_over_round x
                          WHERE x.year = n.year ORDER BY x.id DESC LIMIT 1) w
      LEFT JOIN (SELECT a.proposal ->> 'notice' AS notice, sum(l.quantity) AS taken
                   FROM application a JOIN application_line l ON l.application_id = a.id
                  WHERE a.kind = 'carry_over' AND a.status IN ('in_review', 'approved')
                    AND a.proposal ->> 'notice' = ANY(:texts)
                  GROUP BY 1) t ON t.notice = n.id::text
     WHERE n.id = ANY(:ids)
    """,
    ids=Integer,
    texts=String,
)
_RELEASED = typed(
    """
    SELECT r.account_id, r.number, r.instrument_id,
           (sum(r.quantity) - coalesce(min(u.quantity), 0))::bigint AS rest
      FROM carry_over_release r
      LEFT JOIN (SELECT a.account_id, a.proposal ->> 'release' AS number, l.instrument_id,
                        sum(l.quantity) AS quantity
                   FROM application a JOIN application_line l ON l.application_id = a.id
                  WHERE a.kind = 'carry_over' AND a.status IN ('in_review', 'approved')
                    AND a.account_id = ANY(:accounts)
                  GROUP BY 1, 2, 3) u USING (account_id, number, instrument_id)
     WHERE r.account_id = ANY(:accounts) AND (:any OR r.number = ANY(:numbers))
     GROUP BY r.account_id, r.number, r.instrument_id
    """,
    accounts=Integer,
    numbers=String,
)
