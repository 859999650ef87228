"""Reading the rules' Facts for a batch of applications, each in one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Date, Integer, String, Time, bindparam, select, text, tuple_

from app.domain.compliance.notices import Decision, Standing, Terms
from app.domain.compliance.offsets import MARKET_START
from app.domain.compliance.plans import PlanDecision, PlanFacts
from app.domain.kinds import KINDS, Facts
from app.domain.kinds.compliance.notice import NoticeDecision
from app.domain.kinds.compliance.plan import PlanApplication
from app.domain.kinds.issuance import ONCE
from app.domain.kinds.money.reserve import DefaultCover
from app.domain.kinds.rules import Default, Membership, Notice, Package, Source
from app.domain.kinds.settlement import (
    BankDifference,
    CompanyGroup,
    DifferenceResolution,
    SettlementObjection,
    TradeSettlement,
)
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING, OPENING, TradingMoment
from app.domain.workflow import Case, Status
from app.extensions import db
from app.models import Plan
from app.operations.accounts import life
from app.operations.applications import banking
from app.operations.compliance import allocations, carry_over, chain, plans, revocations
from app.operations.offsets import facts as offset_facts
from app.operations.pledges import facts as pledges
from app.operations.records.catalogue import SECTORS, catalogue
from app.operations.records.columns import typed
from app.operations.sanctions import courts

# What a submission can take tonnes from.
_SPENDABLE = sorted({kind.reserves[0] for kind in KINDS.values() if kind.reserves})


def gather(cases: Sequence[Case], moment: TradingMoment) -> Facts:
    """Read the Facts of a batch, after locking.

    Holdings and issuances are read for drafts only: applications under review have their tonnes
    reserved.
    """
    reviewed = [case for case in cases if case.status is Status.IN_REVIEW or not case.lines]
    submitted = [case for case in cases if case.status is not Status.IN_REVIEW]
    rows = _holdings(submitted, moment.day)
    accounts = [*rows, *_account_flags({case.account_id for case in reviewed}, moment.day)]
    named = [*rows, *_instruments({line.instrument_id for case in reviewed for line in case.lines})]
    return Facts(
        moment=moment,
        holdings={
            (row.account_id, row.instrument_id, bucket): getattr(row, bucket.column)
            for row in rows
            for bucket in _SPENDABLE
        },
        instruments={row.instrument_id: row.instrument for row in named},
        money=frozenset(row.instrument_id for row in named if row.instrument_kind == "money"),
        restricted=frozenset(row.account_id for row in accounts if row.is_restricted),
        differing=frozenset(row.account_id for row in accounts if row.is_differing),
        needs_second_operator=frozenset(row.account_id for row in accounts if row.needs_colleague),
        permitted=frozenset(row.account_id for row in rows if row.allows_exchange_transfer),
        tradable=frozenset(
            (venue, row.instrument_id) for row in rows for venue in row.venues or ()
        ),
        linked=_linked(cases),
        notices=_notices({case.notice_id for case in cases if case.notice_id}, moment),
        sources=_sources(cases),
        lacking_documents=_matching(_LACKING_DOCUMENTS, cases, "account_change"),
        duplicate_uscc=_matching(_DUPLICATE_USCC, cases, "account_change", "account_opening"),
        issued=_issued(submitted),
        categories=_categories(submitted, moment.day),
        memberships=_memberships(cases),
        life=life.gather(cases, accounts, moment.day),
        **_about_trades(cases),
        **_about_subjects(cases, moment.day),
    )


def _about_subjects(cases: Sequence[Case], today: date) -> dict[str, Any]:
    """Return what the rules of single subjects read."""
    return {
        **banking.gather(cases, today),
        **courts.gather(cases),
        **pledges.gather(cases),
        **allocations.gather(cases),
        **revocations.gather(cases),
        **offset_facts.gather(cases),
        **_about_notices(cases, today),
        **_about_plans(cases),
        **carry_over.gather(cases, today),
        **_about_machines(cases),
        **chain.gather(cases, today),
    }


def _holdings(cases: Sequence[Case], today: date) -> Sequence[Any]:
    pairs = {
        (account, line.instrument_id)
        for case in cases
        for line in case.lines
        for account in (case.account_id, KINDS[case.kind].holder(case, line))
    }
    if not pairs:
        return ()
    accounts, instruments = zip(*pairs, strict=True)
    asked = {"accounts": accounts, "instruments": instruments, "today": today}
    return db.session.execute(_HOLDINGS, asked).all()


def _categories(cases: Sequence[Case], today: date) -> frozenset[tuple[str, str]]:
    if not any(KINDS[case.kind].has_category for case in cases):
        return frozenset()
    return catalogue().offered(today)


def _account_flags(accounts: Collection[int], today: date) -> Sequence[Any]:
    if not accounts:
        return ()
    return db.session.execute(_ACCOUNT_FLAGS, {"accounts": list(accounts), "today": today}).all()


def _instruments(ids: Collection[int]) -> Sequence[Any]:
    if not ids:
        return ()
    return db.session.execute(_INSTRUMENTS, {"ids": list(ids)}).all()


def _linked(cases: Sequence[Case]) -> frozenset[tuple[int, int]]:
    givers = [case.account_id for case in cases if case.receivers or case.named_receivers]
    if not givers:
        return frozenset()
    rows = db.session.execute(_LINKED, {"accounts": givers})
    return frozenset((row.account_id, row.receiver_id) for row in rows)


def _notices(ids: Iterable[int], moment: TradingMoment) -> dict[int, Notice]:
    wanted = list(ids)
    if not wanted:
        return {}
    found = {
        row.id: Notice(
            row.account_id,
            row.number,
            row.obligation,
            row.surrendered,
            row.pending,
            frozenset(row.eligible or ()),
            row.offset_limit,
            row.offset_by,
            row.year,
            row.offset_registered_from,
            row.deadline,
            row.offset_surrendered,
            row.offset_pending,
            row.offset_under_way,
        )
        for row in db.session.execute(_NOTICES, {"ids": wanted, "today": moment.day})
    }
    late = [id_ for id_, each in found.items() if each.deadline and each.deadline < moment.now]
    for id_, years in plans.later_years(late, moment.day).items():
        found[id_].later_years = years
    return found


def _sources(cases: Sequence[Case]) -> dict[int, Source]:
    wanted = {line.source_line_id for case in cases for line in case.lines if line.source_line_id}
    if not wanted:
        return {}
    asked = {"ids": list(wanted), "accounts": list({case.account_id for case in cases})}
    return {
        row.line_id: Source(
            row.account_id,
            row.instrument_id,
            row.kind,
            row.status == Status.APPROVED,
            row.remaining,
            row.notice_id,
            row.quantity,
            row.approved_at,
        )
        for row in db.session.execute(_SOURCES, asked)
    }


def _issued(cases: Sequence[Case]) -> dict[tuple[int, int, str], str]:
    accounts = {case.account_id for case in cases if case.kind == "issuance"}
    if not accounts:
        return {}
    rows = db.session.execute(_ISSUED, {"accounts": list(accounts), "once": list(ONCE)})
    return {(row.account_id, row.instrument_id, row.category): row.number for row in rows}


def _about_trades(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules of settlements, and of what goes wrong in them, read."""
    return {
        "differences": _open_differences(cases),
        "objectionable": _objectionable(cases),
        "packages": _packages(cases),
        "bank_differences": _open_bank_differences(cases),
        "defaults": _defaults(cases),
    }


def _open_differences(cases: Sequence[Case]) -> dict[int, int]:
    ids = [
        case.proposal.get("difference", 0)
        for case in cases
        if case.kind == DifferenceResolution.code
    ]
    return dict(db.session.execute(_DIFFERENCES, {"ids": ids}).all()) if ids else {}


def _open_bank_differences(cases: Sequence[Case]) -> frozenset[int]:
    ids = [case.proposal.get("event", 0) for case in cases if case.kind == BankDifference.code]
    return frozenset(db.session.scalars(_BANK_DIFFERENCES, {"ids": ids})) if ids else frozenset()


def _defaults(cases: Sequence[Case]) -> dict[int, Default]:
    ids = [case.proposal.get("default", 0) for case in cases if case.kind == DefaultCover.code]
    if not ids:
        return {}
    rows = db.session.execute(_DEFAULTS, {"ids": ids})
    return {id_: Default(*rest) for id_, *rest in rows}


def _memberships(cases: Sequence[Case]) -> dict[int, list[Membership]]:
    groups = [case for case in cases if case.kind == CompanyGroup.code]
    accounts = {account for case in groups for account in (case.account_id, *case.receivers)}
    found: dict[int, list[Membership]] = {}
    if accounts:
        for account_id, *rest in db.session.execute(_MEMBERSHIPS, {"accounts": [*accounts]}):
            found.setdefault(account_id, []).append(Membership(*rest))
    return found


def _objectionable(cases: Sequence[Case]) -> dict[tuple[int, int], datetime]:
    objections = [case for case in cases if case.kind == SettlementObjection.code]
    if not objections:
        return {}
    asked = {
        "accounts": [case.account_id for case in objections],
        "packages": [case.proposal.get("package", 0) for case in objections],
    }
    return {
        (row.account_id, row.package_id): datetime.combine(row.opens, OPENING, tzinfo=BEIJING)
        for row in db.session.execute(_TRADED, asked)
        if row.opens is not None
    }


def _packages(cases: Sequence[Case]) -> dict[int, Package]:
    settlements = [case for case in cases if case.kind == TradeSettlement.code]
    if not settlements:
        return {}
    ids = [case.proposal.get("package", 0) for case in settlements]
    return {
        row.id: Package(
            row.digest, frozenset(zip(row.settlements or (), row.results or (), strict=True))
        )
        for row in db.session.execute(_PACKAGES, {"ids": ids})
    }


def _about_notices(cases: Sequence[Case], today: date) -> dict[str, Any]:
    """Return what the rules of decisions on notices read."""
    decisions = [case for case in cases if case.kind == NoticeDecision.code]
    if not decisions:
        return {}
    read = [Decision.read(case.proposal) for case in decisions]
    asked = {
        "accounts": [case.account_id for case in decisions],
        "years": [each.year for each in read],
        "sectors": [each.sector for each in read],
    }
    notices = [case.notice_id or 0 for case in decisions]
    return {
        "standing": _standing({**asked, "notices": notices}),
        "notices_under_review": {
            (row.account_id, row.year, row.sector): row.number
            for row in db.session.execute(_NOTICES_UNDER_REVIEW, asked)
        },
        "planned": frozenset(db.session.execute(_PLANNED, {"today": today}).all()),
        "account_sectors": frozenset(db.session.execute(_ACCOUNT_SECTORS, asked).all()),
        "sectors": SECTORS,
    }


def _standing(asked: Mapping[str, Any]) -> dict[tuple[int, int, str, int], Standing]:
    """Return notices by what was asked for, and by their own ids."""
    found = {}
    for row in db.session.execute(_STANDING, asked):
        standing = Standing(
            row.id,
            row.number,
            Terms(row.obligation),
            row.surrendered,
            row.surrenders,
        )
        for notice_id in (row.asked, row.id):
            found[row.account_id, row.year, row.sector, notice_id] = standing
    return found


def _about_plans(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules of decisions on plans read."""
    decisions = [
        PlanDecision.read(case.proposal) for case in cases if case.kind == PlanApplication.code
    ]
    if not decisions:
        return {}
    keys = {(each.year, each.sector) for each in decisions}
    rows = db.session.execute(_PLANS_UNDER_REVIEW)
    return {
        "plans": _latest_plans(keys),
        "plans_under_review": {(int(row.year), row.sector): row.number for row in rows},
        "sectors": SECTORS.offered(),
    }


def _latest_plans(keys: Collection[tuple[int, str]]) -> dict[tuple[int, str], PlanFacts]:
    """Return the latest versions of plans, with what rests on them."""
    asked = {"years": [year for year, _sector in keys], "sectors": [code for _year, code in keys]}
    used: dict[tuple[int, str], list[Any]] = {key: [] for key in keys}
    for row in db.session.execute(_PLAN_USE, asked):
        used[row.year, row.sector].append(row)
    counts = {
        (row.year, row.sector): row.notices for row in db.session.execute(_PLAN_NOTICES, asked)
    }
    versions = select(Plan).where(tuple_(Plan.year, Plan.sector).in_(keys)).order_by(Plan.id)
    return {
        (each.year, each.sector): PlanFacts(
            each.id,
            each.values(),
            each.starts_on,
            counts.get((each.year, each.sector), 0),
            frozenset(
                row.vintage for row in used[each.year, each.sector] if row.kind == "allowance"
            ),
            tuple(
                (row.number, row.obligation, row.quantity)
                for row in used[each.year, each.sector]
                if row.kind == "offset"
            ),
        )
        for each in db.session.scalars(versions)
    }


def _about_machines(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules of machine clients' keys read: few rows, of few clients."""
    if not any(KINDS[case.kind].code.startswith("machine_key") for case in cases):
        return {}
    keys = db.session.execute(_MACHINE_KEYS).all()
    clients = db.session.execute(_MACHINE_CLIENTS).all()
    return {
        "machine_keys": {row.thumbprint: row.code for row in keys},
        "machine_key_ids": {(row.code, row.kid): row.stands for row in keys},
        "machine_owners": {row.code: row.owner for row in clients},
    }


def _matching(statement: Any, cases: Sequence[Case], *kinds: str) -> frozenset[int]:
    """Return the cases of these kinds that a statement selects."""
    ids = [case.id for case in cases if case.kind in kinds]
    return frozenset(db.session.scalars(statement, {"ids": ids})) if ids else frozenset()


# Of an account ``a``: whether it has ended, and what its class may do on the day.
_STANDS = "a.closed_at IS NOT NULL AS is_closed, a.holder_class, c.rights"
_RIGHTS = """LEFT JOIN (SELECT DISTINCT ON (holder_class) holder_class, rights FROM class_rule
                   WHERE starts_on <= :today ORDER BY holder_class, id DESC) AS c
             ON c.holder_class = a.holder_class"""


def _spendable(bucket: Bucket) -> str:
    """Return what of a bucket applications may take: what a court lets sell is bound to its deals."""
    held = f"coalesce(h.{bucket.column}, 0)"
    if bucket is not Bucket.TRADING:
        return held
    bound = "SELECT sum(s.unsold) FROM court_sale s WHERE s.account_id = a.id AND s.instrument_id = i.id"
    return f"({held} - coalesce(({bound}), 0)::bigint)"


_HOLDINGS = typed(
    f"""
    SELECT a.id AS account_id, i.id AS instrument_id, i.name AS instrument,
           i.kind AS instrument_kind,
           a.is_restricted, EXISTS (SELECT FROM open_difference d WHERE d.account_id = a.id) AS is_differing,
           a.allows_exchange_transfer, a.needs_colleague, {_STANDS},
           v.venues, {", ".join(f"{_spendable(b)} AS {b.column}" for b in _SPENDABLE)}
      FROM unnest(:accounts, :instruments) AS p (account_id, instrument_id)
      JOIN account a ON a.id = p.account_id
      JOIN instrument i ON i.id = p.instrument_id
      LEFT JOIN holding h ON h.account_id = a.id AND h.instrument_id = i.id
      LEFT JOIN (SELECT t.instrument_id, array_agg(t.venue_id) AS venues
                   FROM venue_instrument t JOIN venue e ON e.id = t.venue_id
                  WHERE greatest(t.valid_from, e.valid_from) <= :today
                    AND coalesce(least(t.disabled_from, e.disabled_from) > :today, true)
                  GROUP BY t.instrument_id) AS v ON v.instrument_id = i.id
      {_RIGHTS}
    """,  # noqa: S608 - our own column names
    accounts=Integer,
    instruments=Integer,
)

_INSTRUMENTS = typed(
    """
    SELECT id AS instrument_id, name AS instrument, kind AS instrument_kind
      FROM instrument WHERE id = ANY(:ids)
    """,
    ids=Integer,
)

_ACCOUNT_FLAGS = typed(
    f"""
    SELECT a.id AS account_id, a.needs_colleague, a.is_restricted, {_STANDS},
           EXISTS (SELECT FROM open_difference d WHERE d.account_id = a.id) AS is_differing
      FROM account a {_RIGHTS} WHERE a.id = ANY(:accounts)
    """,  # noqa: S608 - our own column names
    accounts=Integer,
)

_LINKED = typed(
    "SELECT account_id, receiver_id FROM custody_link WHERE account_id = ANY(:accounts)",
    accounts=Integer,
)

_DIFFERENCES = typed("SELECT id, account_id FROM open_difference WHERE id = ANY(:ids)", ids=Integer)

_BANK_DIFFERENCES = typed(
    "SELECT id FROM bank_difference WHERE id = ANY(:ids) AND NOT is_resolved", ids=BigInteger
)
# Of buyers: what was delivered meanwhile, and what can be paid by now, is no default of theirs any more.
_DEFAULTS = typed(
    """
    SELECT f.id, t.buyer_id, concat(c.name, '（', c.member_no, '）'), t.buyer_money_id, v.missing, f.due_at,
           EXISTS (SELECT FROM court_order w WHERE w.account_id = t.buyer_id
                      AND w.instrument_id = t.buyer_money_id AND w.queued > 0)
      FROM trade_default f
      JOIN trade t ON t.id = f.trade_id
      JOIN account c ON c.id = t.buyer_id
      LEFT JOIN holding h ON (h.account_id, h.instrument_id) = (t.buyer_id, t.buyer_money_id)
     CROSS JOIN LATERAL (SELECT t.amount + t.buy_fee - coalesce(h.available, 0) - coalesce(h.proceeds, 0)
                                AS missing) v
     WHERE f.id = ANY(:ids) AND v.missing > 0
       AND NOT EXISTS (SELECT FROM trade_delivery d WHERE d.trade_id = t.id)
    """,
    ids=Integer,
)

_MEMBERSHIPS = typed(
    """
    SELECT g.account_id, g.head_id, g.ends_on, a.name || '（' || a.member_no || '）',
           h.name || '（' || h.member_no || '）'
      FROM company_group_member g
      JOIN account a ON a.id = g.account_id JOIN account h ON h.id = g.head_id
     WHERE g.account_id = ANY(:accounts) AND coalesce(g.ends_on > g.starts_on, true)
     ORDER BY g.id
    """,
    accounts=Integer,
)

_TRADED = typed(
    """
    SELECT k.account_id, k.package_id,
           -- The first opening after the day, and after its delivery where that came later.
           (SELECT min(d.day) FROM trading_day d
             WHERE d.is_trading AND d.day > p.day
               AND (d.day + :opening) AT TIME ZONE :zone > coalesce(
                     (SELECT min(s.ended_at) FROM settlement_stage s
                       WHERE s.package_id = p.id AND s.stage = 'delivered'), '-infinity')) AS opens
      FROM (SELECT DISTINCT * FROM unnest(:accounts, :packages)) AS k (account_id, package_id)
      JOIN day_package p ON p.id = k.package_id
     WHERE EXISTS (SELECT FROM trade t WHERE t.package_id = p.id
                      AND k.account_id IN (t.buyer_id, t.seller_id))
    """,
    accounts=Integer,
    packages=Integer,
).bindparams(
    bindparam("opening", OPENING, type_=Time), bindparam("zone", BEIJING.key, type_=String)
)

_PACKAGES = typed(
    """
    SELECT p.id, p.digest, array_agg(c.application_id) FILTER (WHERE c.id IS NOT NULL) AS settlements,
           array_agg(c.result_digest) FILTER (WHERE c.id IS NOT NULL) AS results
      FROM day_package p LEFT JOIN settlement_confirmation c ON c.package_id = p.id
     WHERE p.id = ANY(:ids) GROUP BY p.id
    """,
    ids=Integer,
)

_NOTICES = typed(
    """
    SELECT n.id, n.account_id, n.number, n.obligation,
           coalesce(floor(n.obligation * p.offset_percent / 100), 0)::bigint AS offset_limit,
           p.offset_by, n.year, coalesce(p.offset_registered_from, :market_start) AS offset_registered_from,
           p.surrender_by AS deadline,
           (SELECT array_agg(i.id) FROM instrument i
             WHERE i.kind = 'allowance' AND i.vintage = ANY(p.vintages)) AS eligible,
           coalesce(used.surrendered, 0) AS surrendered, coalesce(used.pending, 0) AS pending,
           coalesce(used.offset_surrendered, 0) AS offset_surrendered,
           coalesce(used.offset_pending, 0) AS offset_pending,
           coalesce((SELECT w.quantity FROM offset_under_way w WHERE w.notice_id = n.id), 0)
             AS offset_under_way
      FROM notice n
      LEFT JOIN (SELECT DISTINCT ON (year, sector) * FROM plan WHERE starts_on <= :today
                  ORDER BY year, sector, id DESC) AS p ON p.year = n.year AND p.sector = n.sector
      LEFT JOIN (SELECT * FROM notice_surrender WHERE notice_id = ANY(:ids)) AS used
             ON used.notice_id = n.id
     WHERE n.id = ANY(:ids)
    """,
    ids=Integer,
).bindparams(bindparam("market_start", MARKET_START, type_=Date))

# Notices in force, and what was surrendered for them: those named, else the enterprise's own one, which
# it did not succeed to.
_STANDING = typed(
    """
    WITH asked AS MATERIALIZED (
           SELECT n AS notice, k.notice_id AS asked
             FROM unnest(:accounts, :years, :sectors, :notices) AS k (account_id, year, sector, notice_id)
             JOIN notice n ON n.account_id = k.account_id AND n.year = k.year
                          AND (n.sector = k.sector OR k.sector = '')
            WHERE n.withdrawn_at IS NULL
              AND CASE k.notice_id WHEN 0 THEN n.succeeded_from IS NULL ELSE n.id = k.notice_id END),
         ids AS MATERIALIZED (SELECT array_agg((notice).id) AS found FROM asked)
    SELECT asked, (notice).id, (notice).number, (notice).account_id, (notice).year, (notice).sector,
           (notice).obligation,
           -- CCER whose cancellation is not confirmed yet will count, whatever happens.
           coalesce(s.surrendered, 0)
             + coalesce((SELECT w.quantity FROM offset_under_way w WHERE w.notice_id = (notice).id), 0)
             AS surrendered,
           (SELECT count(*) FROM application a
             WHERE a.notice_id = (notice).id
               AND a.kind IN ('surrender', 'assisted_surrender', 'commission', 'offset',
                              'pledge_surrender', 'court_surrender')
               AND a.status IN ('in_review', 'approved')) AS surrenders
      FROM asked
      LEFT JOIN (SELECT * FROM notice_surrender
                  WHERE notice_id = ANY((SELECT found FROM ids)::integer[])) AS s
             ON s.notice_id = (notice).id
    """,
    accounts=Integer,
    years=Integer,
    sectors=String,
    notices=Integer,
)

_NOTICES_UNDER_REVIEW = typed(
    """
    SELECT a.account_id, k.year, k.sector, a.number
      FROM unnest(:accounts, :years, :sectors) AS k (account_id, year, sector)
      JOIN application a ON a.account_id = k.account_id AND a.proposal ->> 'year' = k.year::text
                        AND a.proposal ->> 'sector' = k.sector
     WHERE a.kind = 'notice' AND a.status = 'in_review'
    """,
    accounts=Integer,
    years=Integer,
    sectors=String,
)

_PLANNED = text("SELECT DISTINCT year, sector FROM plan WHERE starts_on <= :today")

# The sectors that an account was in at any time since the compliance year began.
_ACCOUNT_SECTORS = typed(
    """
    SELECT DISTINCT s.account_id, k.year, s.sector
      FROM unnest(:accounts, :years) AS k (account_id, year)
      JOIN account_sector s ON s.account_id = k.account_id
     WHERE k.year BETWEEN 1 AND 9999 AND coalesce(s.ends_on > make_date(k.year, 1, 1), true)
    """,
    accounts=Integer,
    years=Integer,
)

_PLAN_USE = typed(
    """
    SELECT u.year, u.sector, u.kind, u.vintage, n.number, u.obligation, u.quantity
      FROM plan_use u JOIN notice n ON n.id = u.notice_id
     WHERE (u.year, u.sector) IN (SELECT * FROM unnest(:years, :sectors))
    """,
    years=Integer,
    sectors=String,
)

_PLAN_NOTICES = typed(
    """
    SELECT year, sector, count(*) AS notices FROM notice
     WHERE withdrawn_at IS NULL AND (year, sector) IN (SELECT * FROM unnest(:years, :sectors))
     GROUP BY year, sector
    """,
    years=Integer,
    sectors=String,
)

_PLANS_UNDER_REVIEW = text(
    "SELECT proposal ->> 'year' AS year, proposal ->> 'sector' AS sector, number"
    "  FROM application WHERE kind = 'plan' AND status = 'in_review'"
)
_MACHINE_KEYS = text(
    "SELECT c.code, k.kid, k.thumbprint,"
    "       k.revoked_at IS NULL AND k.issued_by IS NULL AS stands"
    "  FROM machine_key k JOIN machine_client c ON c.id = k.client_id"
)
_MACHINE_CLIENTS = text(
    "SELECT c.code, CASE WHEN c.is_platform THEN 'platform' ELSE v.code END AS owner"
    "  FROM machine_client c LEFT JOIN venue v ON v.id = c.venue_id"
    " WHERE c.is_platform OR c.venue_id IS NOT NULL"
)

# Of a claim the part that the applicant owes (claim_part); who submits in one batch is one applicant.
_SOURCES = typed(
    """
    SELECT d.line_id, coalesce(p.account_id, a.account_id) AS account_id, d.instrument_id, a.kind, a.status,
           a.notice_id, coalesce(p.remaining, d.remaining) AS remaining, d.quantity,
           (SELECT max(e.at) FROM application_event e
                         WHERE e.application_id = a.id AND e.action = 'approve') AS approved_at
      FROM line_draw d JOIN application a ON a.id = d.application_id
      LEFT JOIN claim_part p ON p.line_id = d.line_id AND p.account_id = ANY(:accounts)
     WHERE d.line_id = ANY(:ids)
    """,
    ids=BigInteger,
    accounts=Integer,
)

_ISSUED = typed(
    """
    SELECT a.account_id, l.instrument_id, a.category, a.number
      FROM application a JOIN application_line l ON l.application_id = a.id
     WHERE a.kind = 'issuance' AND a.account_id = ANY(:accounts) AND a.category = ANY(:once)
       AND a.status IN ('in_review', 'approved') AND NOT is_reversed(l.id)
    """,
    accounts=Integer,
    once=String,
)

# Accounts opened in a batch lack their documents (manual 二-三 说明).
_LACKING_DOCUMENTS = typed(
    """
    SELECT a.id FROM application a JOIN account c ON c.id = a.account_id
     WHERE a.id = ANY(:ids) AND c.lacks_documents
       AND NOT EXISTS (SELECT FROM attachment t WHERE t.application_id = a.id)
    """,
    ids=BigInteger,
)

# Proposals are [before, after] by field (operations/accounts/details.py).  Of two in one batch that
# propose the same code, the first succeeds.
_DUPLICATE_USCC = typed(
    """
    WITH proposed AS MATERIALIZED (
           SELECT id, account_id, proposal -> 'uscc' ->> 1 AS code FROM application
            WHERE id = ANY(:ids) AND proposal -> 'uscc' ->> 1 IS NOT NULL)
    SELECT a.id FROM proposed a JOIN account c ON c.uscc = a.code AND c.id <> a.account_id
    UNION
    SELECT id
      FROM (SELECT id, account_id, min(account_id) OVER earlier, max(account_id) OVER earlier
              FROM proposed
            WINDOW earlier AS (PARTITION BY code ORDER BY id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS a
     WHERE min <> account_id OR max <> account_id
    UNION
    SELECT a.id
      FROM proposed a
      JOIN application o ON o.proposal -> 'uscc' ->> 1 = a.code AND o.id <> a.id
     WHERE o.kind = 'account_opening' AND o.status = 'in_review'
    """,
    ids=BigInteger,
)
