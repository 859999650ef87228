"""Verify the ledger: recompute every figure from its records and name the offending keys."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from app.domain.kinds import KINDS, Kind
from app.domain.moves import FEES_ACCOUNT_ID, ISSUANCE_ACCOUNT_ID, Bucket
from app.domain.workflow import COLLEAGUE_STEP
from app.extensions import db
from app.operations.ledger import routes

MOST_KEYS = 100  # named per check


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed check, and the offending key."""

    check: str
    key: str


@dataclass(slots=True)
class Report:
    """Counts and faults; ``totals`` is the number of faults by check, ``faults`` the first of each.

    ``last_root`` is the last sealed block's root, in hex: compare it with a copy kept elsewhere to
    show that the chain was not replaced.
    """

    holdings: int = 0
    postings: int = 0
    movements: int = 0
    entries: int = 0
    sealed_blocks: int = 0
    unsealed_movements: int = 0
    last_root: str = ""
    faults: list[Fault] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)

    @property
    def is_sound(self) -> bool:
        """Tell whether there are no faults."""
        return not self.totals


def verify_ledger() -> Report:
    """Recompute the whole ledger and report.

    Reads one snapshot on a connection of its own, without the caller's uncommitted changes; takes
    no locks and writes nothing.
    """
    with db.engine.connect().execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    ) as connection:
        connection.execute(text("SET LOCAL work_mem = '128MB'"))
        report = Report(**connection.execute(_COUNTS).mappings().one())
        for check in _CHECKS:
            _run(check, connection, report)
    return report


def verify_routes(report: Report) -> None:
    """Add to a report what the database lets postings move otherwise than the program says.

    For an installation: databases of tests and benchmarks have a business that is tied to nothing.
    """
    for fault in routes.faults(db.session.connection()):
        report.faults.append(Fault("posting_route", fault))
        report.totals["posting_route"] += 1


def _run(check: str, connection: Connection, report: Report) -> None:
    reserving = [code for code, kind in KINDS.items() if kind.reserves]
    settling = [code for code, kind in KINDS.items() if kind.settles]
    asked = {"most": MOST_KEYS, "reserving": reserving, "settling": settling, **_holds()}
    for name, in_money in (("of_tonnes", False), ("of_money", True)):
        asked[name] = [code for code, kind in KINDS.items() if kind.in_money is in_money]
    for name, key, total in connection.execute(text(_NAMED.format(found=check)), asked):
        report.faults.append(Fault(name, key))
        report.totals[name] = total


# Buckets that postings without an application may credit.
_ALSO_POSTED = {Bucket.AVAILABLE, Bucket.CUSTODY, Bucket.SURRENDERED}


def _drawn_from(kind: Kind) -> set[Bucket]:
    """Return the buckets that the drawn document holds and this kind takes from; a claim holds nothing."""
    route = kind.reserves or kind.settles
    held = {hold.bucket for hold in KINDS[kind.draws_on].holds}
    return {route[0]} & held if route else set()


def _holds() -> dict[str, list[Any]]:
    """Return, as columns, the buckets that open and approved applications of each kind hold.

    Only buckets whose balances applications must explain: those of open applications, and those
    that later applications draw on.
    """
    kept = {bucket for kind in KINDS.values() if kind.draws_on for bucket in _drawn_from(kind)}
    kept -= _ALSO_POSTED
    proved = kept | {kind.reserves[1] for kind in KINDS.values() if kind.reserves}
    rows = [(kind, hold) for kind in KINDS.values() for hold in kind.holds if hold.bucket in proved]
    return {
        "kinds": [kind.code for kind, _hold in rows],
        "waits_in_reserve": [kind.settles_at_day_end for kind, _hold in rows],
        "is_approved": [hold.is_approved for _kind, hold in rows],
        "buckets": [int(hold.bucket) for _kind, hold in rows],
        "signs": [hold.sign for _kind, hold in rows],
        "at_receiver": [hold.at_receiver for _kind, hold in rows],
        "from_source": [hold.from_source for _kind, hold in rows],
        "proved": [int(bucket) for bucket in proved],
        "kept": [int(bucket) for bucket in kept],
    }


_COUNTS = text("""
    SELECT (SELECT count(*) FROM holding) AS holdings,
           (SELECT count(*) FROM posting) AS postings,
           (SELECT count(*) FROM movement) AS movements,
           (SELECT count(*) FROM entry) AS entries,
           (SELECT count(*) FROM sealed_block) AS sealed_blocks,
           (SELECT count(*) FROM movement
             WHERE recorded_xid >= coalesce((SELECT max(to_xid) FROM sealed_block), '0'::xid8))
             AS unsealed_movements,
           coalesce((SELECT encode(root, 'hex') FROM sealed_block ORDER BY id DESC LIMIT 1), '')
             AS last_root
""")

# Every check yields (name, key) rows; all are counted, the first MOST_KEYS named.
_NAMED = """
    SELECT name, key, total
      FROM (SELECT name, key, count(*) OVER (PARTITION BY name) AS total,
                   row_number() OVER (PARTITION BY name ORDER BY key) AS n
              FROM ({found}) AS found (name, key)) AS numbered
     WHERE n <= :most ORDER BY name, n
"""

_REPLAYED = ", ".join(
    f"coalesce(sum(delta) FILTER (WHERE bucket = {int(bucket)}), 0) AS {bucket.column}"
    for bucket in Bucket
)
_DIFFERING = ", ".join(
    f"('{bucket.column}', coalesce(h.{bucket.column}, 0), coalesce(r.{bucket.column}, 0))"
    for bucket in Bucket
)
_UNPIVOTED = ", ".join(f"({int(bucket)}, h.{bucket.column})" for bucket in Bucket)

_BALANCES = f"""
    WITH replayed AS (
           SELECT account_id, instrument_id, count(*) AS version, max(at) AS moved_at, {_REPLAYED}
             FROM entry GROUP BY account_id, instrument_id)
    SELECT wrong.name, concat('holding ', account_id, '/', instrument_id, wrong.key)
      FROM holding h FULL JOIN replayed r USING (account_id, instrument_id),
           LATERAL (
             SELECT 'balance', concat(' ', bucket, ': holds ', held, ', entries say ', replayed)
               FROM (VALUES {_DIFFERING}) AS b (bucket, held, replayed) WHERE held <> replayed
             UNION ALL
             SELECT 'balance', ': missing' WHERE h.version IS NULL
             UNION ALL
             SELECT 'version', concat(': version ', h.version, ', entries ', coalesce(r.version, 0))
              WHERE h.version <> coalesce(r.version, 0)
             UNION ALL
             SELECT 'moved_at', concat(': ', h.moved_at, ', last entry ', r.moved_at)
              WHERE h.moved_at <> coalesce(r.moved_at, '-infinity')) AS wrong (name, key)
"""  # noqa: S608 - our own column names and numbers

_SUMS = f"""
    SELECT 'instrument_sum', concat('instrument ', instrument_id, ': ', sum(total))
      FROM (SELECT instrument_id, ({" + ".join(f"{b.column}::numeric" for b in Bucket)}) AS total
              FROM holding) AS h
     GROUP BY instrument_id HAVING sum(total) <> 0
"""  # noqa: S608 - our own column names and numbers

_SIGNS = f"""
    SELECT 'negative', concat('holding ', h.account_id, '/', h.instrument_id, ' bucket ', bucket,
                              ': ', quantity)
      FROM holding h, LATERAL (VALUES {_UNPIVOTED}) AS b (bucket, quantity)
     WHERE CASE WHEN bucket <> {int(Bucket.ISSUED)} THEN quantity < 0
                ELSE quantity > 0 OR (quantity < 0 AND h.account_id <> {ISSUANCE_ACCOUNT_ID}) END
    UNION ALL
    SELECT 'negative', concat('entry ', account_id, '/', instrument_id, ' seq ', seq, ': ', after)
      FROM entry
     WHERE CASE WHEN bucket <> {int(Bucket.ISSUED)} THEN after < 0
                ELSE after > 0 OR (after < 0 AND account_id <> {ISSUANCE_ACCOUNT_ID}) END
"""  # noqa: S608 - our own column names and numbers

_ENTRY_CHAIN = """
    WITH walked AS (
           SELECT account_id, instrument_id, seq, at, delta, after,
                  lag(seq, 1, 0::bigint) OVER holding AS previous_seq,
                  lag(at) OVER holding AS previous_at,
                  lag(after, 1, 0::bigint) OVER bucket AS before
             FROM entry
           WINDOW holding AS (PARTITION BY account_id, instrument_id ORDER BY seq),
                  bucket AS (PARTITION BY account_id, instrument_id, bucket ORDER BY seq))
    SELECT name, concat('entry ', account_id, '/', instrument_id, ' seq ', seq, key)
      FROM walked,
           LATERAL (VALUES ('entry_sequence', concat(' after ', previous_seq),
                            seq <> previous_seq + 1),
                           ('entry_chain', concat(': ', before, ' + ', delta, ' is not ', after),
                            after <> before + delta),
                           ('entry_time', concat(': ', at, ' after ', previous_at),
                            at < previous_at)) AS c (name, key, is_wrong)
     WHERE (seq <> previous_seq + 1 OR after <> before + delta OR at < previous_at) AND is_wrong
"""

_MOVEMENT_ENTRIES = """
    WITH legs AS (
           SELECT movement_id AS id, count(*) AS entries,
                  max(account_id) FILTER (WHERE delta < 0) AS from_account,
                  max(bucket) FILTER (WHERE delta < 0) AS from_bucket,
                  -sum(delta) FILTER (WHERE delta < 0) AS quantity_from,
                  max(account_id) FILTER (WHERE delta > 0) AS to_account,
                  max(bucket) FILTER (WHERE delta > 0) AS to_bucket,
                  sum(delta) FILTER (WHERE delta > 0) AS quantity_to,
                  min(instrument_id) AS instrument_id, max(instrument_id) AS other_instrument,
                  min(at) AS at
             FROM entry GROUP BY movement_id)
    SELECT 'movement_entries',
           CASE WHEN m.id IS NULL THEN concat('entries of movement ', id, ', which is not there')
                WHEN l.id IS NULL THEN concat('movement ', id, ' has no entries')
                ELSE concat('movement ', id, ' and its ', entries, ' entries disagree') END
      FROM movement m FULL JOIN legs l USING (id)
     WHERE m.id IS NULL OR l.id IS NULL OR l.entries <> 2
        OR (m.from_account, m.from_bucket, m.quantity, m.to_account, m.to_bucket, m.quantity,
            m.instrument_id, m.instrument_id)
           IS DISTINCT FROM (l.from_account, l.from_bucket, l.quantity_from, l.to_account,
                             l.to_bucket, l.quantity_to, l.instrument_id, l.other_instrument)
        OR l.at < m.at
"""

_POSTINGS = """
    SELECT 'movement_posting', concat('movement ', m.id, ' of posting ', m.posting_id,
                                      ', which is not there')
      FROM movement m WHERE NOT EXISTS (SELECT FROM posting p WHERE p.id = m.posting_id)
    UNION ALL
    SELECT 'posting_movements', concat('posting ', p.id, ' has no movements')
      FROM posting p WHERE NOT EXISTS (SELECT FROM movement m WHERE m.posting_id = p.id)
    UNION ALL
    SELECT 'posting_once', concat('posting ', posting_id, ' was added to in a later transaction')
      FROM movement GROUP BY posting_id HAVING min(recorded_xid) <> max(recorded_xid)
"""

_REVERSALS = """
    WITH turned AS (SELECT id, reverses_id FROM posting WHERE reverses_id IS NOT NULL),
         wanted AS (
           SELECT t.id, m.instrument_id, m.quantity, m.to_account AS from_account,
                  m.to_bucket AS from_bucket, m.from_account AS to_account,
                  m.from_bucket AS to_bucket, count(*) AS times
             FROM turned t JOIN movement m ON m.posting_id = t.reverses_id
            GROUP BY 1, 2, 3, 4, 5, 6, 7),
         made AS (
           SELECT t.id, m.instrument_id, m.quantity, m.from_account, m.from_bucket, m.to_account,
                  m.to_bucket, count(*) AS times
             FROM turned t JOIN movement m ON m.posting_id = t.id
            GROUP BY 1, 2, 3, 4, 5, 6, 7)
    SELECT DISTINCT 'reversal_exact', concat('posting ', id, ' does not turn round what it reverses')
      FROM wanted w FULL JOIN made m
     USING (id, instrument_id, quantity, from_account, from_bucket, to_account, to_bucket, times)
     WHERE w.id IS NULL OR m.id IS NULL
    UNION ALL
    SELECT 'reversal_single', concat('posting ', reverses_id, ' is reversed ', count(*), ' times')
      FROM turned GROUP BY reverses_id HAVING count(*) > 1
"""

_SEALS = """
    WITH block AS (
           SELECT id, from_xid, to_xid, movements, root,
                  lag(root, 1, ''::bytea) OVER (ORDER BY id) AS previous_root,
                  lag(to_xid, 1, '0'::xid8) OVER (ORDER BY id) AS previous_to
             FROM sealed_block)
    SELECT 'sealed_block', concat('block ', id, ': its movements were rewritten')
      FROM block WHERE root <> block_root(previous_root, from_xid, to_xid)
    UNION ALL
    SELECT 'sealed_count', concat('block ', id, ': sealed ', movements, ' movements, found ', found)
      FROM block, LATERAL (SELECT count(*) AS found FROM movement m
                            WHERE m.recorded_xid >= from_xid AND m.recorded_xid < to_xid) AS now
     WHERE movements <> found
    UNION ALL
    SELECT 'sealed_chain', concat('block ', id, ' does not follow the one before it')
      FROM block WHERE from_xid <> previous_to OR to_xid <= from_xid
"""

# Settled is derived: an application of a closed day holds nothing.  A transfer in 操作复核 is reserved,
# not in transit.
_APPLICATIONS = f"""
    WITH hold AS (
           SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:waits_in_reserve AS bool[]),
                                CAST(:is_approved AS bool[]), CAST(:buckets AS int[]),
                                CAST(:signs AS int[]), CAST(:at_receiver AS bool[]),
                                CAST(:from_source AS bool[]))
             AS k (kind, waits_in_reserve, is_approved, bucket, sign, at_receiver, from_source)),
         by_line AS (
           SELECT coalesce(CASE WHEN k.at_receiver THEN l.account_id ELSE s.account_id END,
                           a.account_id) AS account_id,
                  l.instrument_id,
                  CASE WHEN a.step = {COLLEAGUE_STEP} AND k.waits_in_reserve AND NOT k.is_approved
                       THEN {int(Bucket.RESERVED)} ELSE k.bucket END AS bucket,
                  sum(k.sign * l.quantity) AS quantity
             FROM application a JOIN hold k ON k.kind = a.kind
              AND k.is_approved = (a.status = 'approved')
             JOIN application_line l ON l.application_id = a.id
             LEFT JOIN application_line s ON s.id = l.source_line_id AND k.from_source
            WHERE a.status IN ('in_review', 'approved')
               OR (a.status = 'pending_settlement'
                   AND a.settles_on > coalesce((SELECT max(day) FROM settlement_run), '-infinity'))
            GROUP BY 1, 2, 3),
         -- What courts' orders froze and let go; what was assigned, surrendered and sold are lines.
         claimed AS (
           SELECT account_id, instrument_id, bucket, sum(quantity) AS quantity
             FROM (SELECT * FROM by_line
                   UNION ALL
                   SELECT c.account_id, e.instrument_id, {int(Bucket.FROZEN)}, e.quantity
                     FROM court_effect e JOIN court_order c ON c.application_id = e.order_id
                    WHERE e.cause NOT IN ('assignment', 'surrender', 'sale', 'sale_return')) AS said
            GROUP BY 1, 2, 3 HAVING sum(quantity) <> 0 OR bucket <> {int(Bucket.FROZEN)}),
         held AS (
           SELECT h.account_id, h.instrument_id, b.bucket, b.quantity
             FROM holding h, LATERAL (VALUES {_UNPIVOTED}) AS b (bucket, quantity)
            WHERE b.bucket = ANY(:proved) AND b.quantity <> 0)
    SELECT found.name,
           concat('holding ', account_id, '/', instrument_id, ' bucket ', bucket, ': holds ',
                  coalesce(held.quantity, 0), found.who, coalesce(claimed.quantity, 0))
      FROM held FULL JOIN claimed USING (account_id, instrument_id, bucket),
           LATERAL (VALUES ('document_hold', ', documents say ', true),
                           ('application_hold', ', open applications say ', false))
             AS found (name, who, is_kept)
     WHERE coalesce(held.quantity, 0) <> coalesce(claimed.quantity, 0)
       AND is_kept = (bucket = ANY(:kept))
"""  # noqa: S608 - our own column names and numbers

# The limits that triggers enforce, checked with the same views.
_LIMITS = """
    SELECT 'line_draw', concat('line ', line_id, ': holds ', quantity, ', drawn ', drawn + pending)
      FROM line_draw
     WHERE line_id IN (SELECT source_line_id FROM application_line WHERE source_line_id IS NOT NULL)
       AND remaining < 0
    UNION ALL
    SELECT 'notice_surrender', concat('notice ', n.number, ': asks for ', n.obligation,
                                      ', surrendered ', s.surrendered)
      FROM notice n JOIN notice_surrender s ON s.notice_id = n.id
     WHERE s.surrendered > n.obligation
"""

# What a notice says is what its history says last; each step continues the one before it and is what
# its application decided, approved by somebody else and signed as it stands.  The step with which a
# notice older than that begins has no application.
_NOTICES = """
    WITH step AS (
           SELECT c.*, row_number() OVER mine AS place, lag(c.terms) OVER mine AS said_before,
                  lead(c.id) OVER mine IS NULL AS is_last, u.id IS NOT NULL AS is_succession
             FROM notice_change c
             LEFT JOIN notice_succession u ON u.application_id = c.application_id
                                          AND u.notice_id = c.notice_id
            WHERE c.terms IS NOT NULL OR c.application_id IS NOT NULL
           WINDOW mine AS (PARTITION BY c.notice_id ORDER BY c.id)),
         decided AS (
           SELECT a.*, s.content::jsonb -> 'terms' AS signed,
                  e.member_id NOT IN (a.created_by, a.submitted_by)
                    AND v.member_id = a.submitted_by
                    AND asking.account_id IS NULL AND approving.account_id IS NULL
                    AND asking.province IS NOT DISTINCT FROM approving.province AS is_by_two
             FROM application a
             LEFT JOIN LATERAL (SELECT id, member_id FROM application_event v
                                 WHERE v.application_id = a.id AND v.action = 'approve'
                                 ORDER BY v.id DESC LIMIT 1) AS e ON true
             LEFT JOIN LATERAL (SELECT id, member_id FROM application_event v
                                 WHERE v.application_id = a.id AND v.action = 'submit'
                                   AND v.id < e.id
                                 ORDER BY v.id DESC LIMIT 1) AS v ON true
             LEFT JOIN ab_user asking ON asking.id = a.submitted_by
             LEFT JOIN ab_user approving ON approving.id = e.member_id
             LEFT JOIN signature_event s ON s.application_event_id = v.id
            WHERE a.kind = 'notice' AND a.status = 'approved')
    SELECT 'notice_history', concat('notice ', n.number, ': asks for ', n.obligation,
                                    ', its history for ', coalesce(s.after, 0))
      FROM notice n LEFT JOIN step s ON s.notice_id = n.id AND s.is_last
     WHERE CASE WHEN n.withdrawn_at IS NULL THEN n.obligation::text END
             IS DISTINCT FROM s.terms ->> 'obligation'
        OR (n.withdrawn_at IS NOT NULL AND (n.obligation <> 0 OR s.id IS NULL))
    UNION ALL
    SELECT 'notice_chain', concat('notice ', n.number, ': step ', s.place,
                                  ' does not continue the one before it')
      FROM step s JOIN notice n ON n.id = s.notice_id LEFT JOIN decided d ON d.id = s.application_id
     WHERE (s.place > 1 AND CASE WHEN s.is_succession THEN s.before::text
                                 ELSE d.proposal -> 'before' ->> 'obligation' END
                             IS DISTINCT FROM s.said_before ->> 'obligation')
        OR (s.place = 1 AND d.proposal ? 'before')
        OR (s.application_id IS NULL AND s.place > 1)
    UNION ALL
    SELECT 'notice_decision', concat('notice ', n.number, ': step ', s.place,
                                     ' is not what application ', s.application_id, ' decided')
      FROM step s JOIN notice n ON n.id = s.notice_id LEFT JOIN decided d ON d.id = s.application_id
     WHERE s.application_id IS NOT NULL AND NOT s.is_succession
       AND (d.id IS NULL OR d.proposal -> 'after' IS DISTINCT FROM s.terms
            OR (d.account_id <> n.account_id
                AND NOT EXISTS (SELECT FROM notice_succession u
                                 WHERE u.notice_id = n.id AND u.from_account_id = d.account_id))
            OR (d.proposal ->> 'year')::int <> n.year
            OR d.proposal ->> 'sector' <> n.sector
            OR d.notice_id <> n.id OR s.after <> coalesce((s.terms ->> 'obligation')::bigint, 0)
            OR d.is_by_two IS NOT TRUE)
    UNION ALL
    SELECT 'notice_succession', concat('application ', u.application_id, ': what notice ', u.of_notice_id,
                                       ' asked for is not what its successors owe')
      FROM notice_succession u
      JOIN notice_change c ON c.application_id = u.application_id AND c.notice_id = u.notice_id
      LEFT JOIN application a ON a.id = u.application_id AND a.kind = 'account_succession'
                             AND a.account_id = u.from_account_id
     GROUP BY u.application_id, u.of_notice_id
    HAVING sum(c.after) IS DISTINCT FROM sum(c.before) OR bool_or(a.id IS NULL)
        OR NOT bool_and(approved_by_two(u.application_id))
    UNION ALL
    SELECT 'notice_signed', concat('application ', number, ': decides something else than was signed')
      FROM decided WHERE signed IS NOT NULL AND signed <> proposal
    UNION ALL
    SELECT 'notice_carried_out', concat('application ', number, ' was approved and not carried out')
      FROM decided d
     WHERE NOT EXISTS (SELECT FROM notice_change c WHERE c.application_id = d.id)
"""

# What an issue was netted by is what its posting recalled, of the same account and instrument, and never
# more than was issued; successors owe, and is revoked, what two officers approved.
_NETTINGS = """
    SELECT 'claim_netting', concat('posting ', coalesce(n.posting_id, p.id), ': recalls ',
                                   coalesce(m.quantity, 0), ', noted ', coalesce(n.quantity, 0))
      FROM claim_netting n
      FULL JOIN (SELECT id FROM posting WHERE business = 'claim_netting') p ON p.id = n.posting_id
      LEFT JOIN movement m ON m.posting_id = p.id
      LEFT JOIN application_line l ON l.id = n.claim_line_id
      LEFT JOIN application c ON c.id = l.application_id AND c.kind = 'allowance_claim'
     WHERE n.quantity IS DISTINCT FROM m.quantity OR m.to_bucket IS DISTINCT FROM 14
        OR m.from_account IS DISTINCT FROM n.account_id
        OR (n.account_id IS DISTINCT FROM c.account_id
            AND NOT EXISTS (SELECT FROM claim_succession s
                             WHERE s.claim_line_id = l.id AND s.to_account_id = n.account_id))
        OR m.instrument_id IS DISTINCT FROM l.instrument_id
    UNION ALL
    SELECT 'claim_netting', concat('issue ', n.issue_posting_id, ': issued ', coalesce(max(m.quantity), 0),
                                   ', netted by ', sum(n.quantity))
      FROM claim_netting n
      JOIN application_line l ON l.id = n.claim_line_id
      LEFT JOIN LATERAL (SELECT sum(v.quantity) AS quantity FROM movement v
                          WHERE v.posting_id = n.issue_posting_id
                            AND v.instrument_id = l.instrument_id) m ON true
     GROUP BY n.issue_posting_id, l.instrument_id
    HAVING sum(n.quantity) > coalesce(max(m.quantity), 0)
    UNION ALL
    SELECT 'claim_part', concat('claim line ', p.line_id, ': account ', p.account_id, ' owes ', p.quantity,
                                ', returned ', p.drawn + p.pending)
      FROM claim_part p WHERE p.remaining < 0
    UNION ALL
    SELECT 'claim_succession', concat('application ', s.application_id, ': took over claim line ',
                                      s.claim_line_id, ' without the approval of two')
      FROM claim_succession s
      LEFT JOIN application a ON a.id = s.application_id AND a.kind = 'account_succession'
                             AND a.account_id = s.from_account_id
     WHERE a.id IS NULL OR NOT approved_by_two(a.id)
    UNION ALL
    SELECT 'revocation', concat('application ', r.number, ': what it revokes, ', r.proposal ->> 'number',
                                ', is revoked by ', coalesce(a.revoked_by_id::text, 'nothing'))
      FROM (SELECT * FROM application WHERE kind = 'revocation' AND status = 'approved') r
      FULL JOIN (SELECT * FROM application WHERE revoked_by_id IS NOT NULL) a ON a.revoked_by_id = r.id
     WHERE (a.number = r.proposal ->> 'number' AND approved_by_two(r.id)) IS NOT TRUE
"""

# Courts' orders: what each holds is what its effects add up to, each of which its posting moved; what
# has ended is what was released, assigned, lapsed or taken back; nobody waits out of turn.
_COURTS = """
    SELECT 'court_order', concat('court order ', application_id, ' ', fault)
      FROM court_order_fault WHERE fault IS NOT NULL
    UNION ALL
    SELECT 'court_hold', concat('court order ', order_id, ', instrument ', instrument_id, ': holds ',
                                coalesce(h.quantity, 0), ', its effects say ', coalesce(e.quantity, 0))
      FROM court_hold h
      FULL JOIN (SELECT order_id, instrument_id, sum(quantity) AS quantity FROM court_effect
                  GROUP BY 1, 2 HAVING sum(quantity) <> 0) e USING (order_id, instrument_id)
     WHERE h.quantity IS DISTINCT FROM e.quantity
    UNION ALL
    SELECT 'court_effect', concat('posting ', posting_id, ': moves ', coalesce(m.quantity, 0), ', effect ',
                                  coalesce(e.quantity, 0))
      FROM (SELECT posting_id, instrument_id, sum(quantity) AS quantity FROM court_effect
             WHERE cause NOT IN ('assignment', 'surrender', 'sale', 'sale_return') GROUP BY 1, 2) e
      FULL JOIN (SELECT m.posting_id, m.instrument_id,
                        sum(CASE WHEN m.to_bucket = 3 THEN m.quantity ELSE -m.quantity END) AS quantity
                   FROM movement m JOIN posting p ON p.id = m.posting_id
                  WHERE p.business = 'court_hold' GROUP BY 1, 2) m USING (posting_id, instrument_id)
     WHERE m.quantity IS DISTINCT FROM e.quantity
    UNION ALL
    SELECT 'court_ended', concat('court order ', c.application_id, ': ended ', c.ended, ', documents say ',
                                 said.ended)
      FROM court_order c JOIN application a ON a.id = c.application_id
     CROSS JOIN LATERAL (
           SELECT CASE WHEN a.status IN ('withdrawn', 'returned', 'draft') THEN c.quantity ELSE
                  coalesce((SELECT sum((r.proposal ->> 'quantity')::bigint) FROM application r
                             WHERE r.kind = 'court_release' AND r.status = 'approved'
                               AND r.account_id = c.account_id
                               AND r.proposal ->> 'order' = c.application_id::text), 0)
                  + coalesce((SELECT sum(l.quantity) FROM application r
                                JOIN application_line l ON l.application_id = r.id
                               WHERE r.kind IN ('court_assignment', 'court_surrender')
                                 AND r.status = 'approved' AND r.account_id = c.account_id
                                 AND r.proposal ->> 'order' = c.application_id::text), 0)
                  + coalesce((SELECT sum(s.quantity - s.returned) FROM court_sale s
                               WHERE s.order_id = c.application_id), 0)
                  + coalesce((SELECT x.effective + x.queued FROM court_lapse x
                               WHERE x.order_id = c.application_id), 0) END AS ended) said
     WHERE c.ended <> said.ended
    UNION ALL
    SELECT 'court_sale', concat('sale ', s.application_id, ': is of ', s.quantity, ', sold ', s.sold,
                                ', its documents and deals say ', said.quantity, ' and ', said.sold)
      FROM court_sale s JOIN application a ON a.id = s.application_id
     CROSS JOIN LATERAL (
           SELECT (SELECT sum(l.quantity) FROM application_line l
                    WHERE l.application_id = a.id AND l.instrument_id = s.instrument_id
                      AND a.status = 'approved' AND a.account_id = s.account_id) AS quantity,
                  coalesce((SELECT sum(t.quantity) FROM trade t JOIN trade_delivery d ON d.trade_id = t.id
                             WHERE t.seller_id = s.account_id AND t.instrument_id = s.instrument_id
                               AND t.sell_order_no = a.number), 0) AS sold) said
     WHERE (s.quantity, s.sold) IS DISTINCT FROM (said.quantity, said.sold)
    UNION ALL
    SELECT 'court_sale', concat('holding ', h.account_id, '/', h.instrument_id, ': ', h.trading,
                                ' in trading, courts let sell ', s.unsold)
      FROM (SELECT account_id, instrument_id, sum(unsold) AS unsold FROM court_sale GROUP BY 1, 2) s
      JOIN holding h USING (account_id, instrument_id)
     WHERE h.trading < s.unsold
    UNION ALL
    SELECT 'court_proceeds', concat('sale ', c.application_id, ': froze ', c.quantity, ', its deals brought ',
                                    said.fen)
      FROM court_order c
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(e.quantity), 0) AS fen FROM court_effect e
            WHERE e.order_id = c.application_id AND e.cause = 'proceeds') said
     WHERE c.sale_of IS NOT NULL AND c.quantity <> said.fen
"""

# Units waiting at provinces are those of enterprises, line by line, and provinces hold nothing else.
_WAITING = f"""
    SELECT 'waiting', concat('holding ', account_id, '/', instrument_id, ': a province holds ',
                             coalesce(held, 0), ', for enterprises wait ', coalesce(waits, 0))
      FROM (SELECT h.account_id, h.instrument_id, {" + ".join(f"h.{each.column}" for each in Bucket)} AS held
              FROM holding h JOIN account c ON c.id = h.account_id AND c.kind = 'province') AS held
      FULL JOIN (SELECT holder_id AS account_id, instrument_id, sum(quantity - drawn) AS waits
                   FROM waiting_line GROUP BY 1, 2) AS waiting USING (account_id, instrument_id)
     WHERE coalesce(held, 0) <> coalesce(waits, 0)
"""  # noqa: S608 - our own column names

# What a version of a plan says is what its application decided, approved by two and signed as it stands.
_PLANS = """
    WITH decided AS (
           SELECT a.*, a.proposal -> 'after' AS says, s.content::jsonb -> 'plan' AS signed
             FROM application a
             LEFT JOIN LATERAL (SELECT v.id FROM application_event v
                                 WHERE v.application_id = a.id AND v.action = 'submit'
                                 ORDER BY v.id DESC LIMIT 1) AS v ON true
             LEFT JOIN signature_event s ON s.application_event_id = v.id
            WHERE a.kind = 'plan' AND a.status = 'approved')
    SELECT 'plan_decision', concat('plan ', p.year, ' ', p.sector, ': version ', p.id,
                                   ' is not what application ', p.application_id, ' decided')
      FROM plan p LEFT JOIN decided d ON d.id = p.application_id
     WHERE p.application_id IS NOT NULL
       AND (d.id IS NULL OR NOT approved_by_two(d.id) OR d.signed <> d.proposal
            OR d.proposal ->> 'year' <> p.year::text OR d.proposal ->> 'sector' <> p.sector
            OR d.starts_on <> p.starts_on OR d.document_no <> p.document_no
            OR (d.proposal ->> 'replaces')::int IS DISTINCT FROM p.replaces_id
            OR (d.says ->> 'surrender_by')::timestamp AT TIME ZONE 'Asia/Shanghai' <> p.surrender_by
            OR nullif(d.says ->> 'offset_by', '')::date IS DISTINCT FROM p.offset_by
            OR string_to_array(d.says ->> 'vintages', ',')::smallint[] <> p.vintages
            OR coalesce(nullif(d.says ->> 'offset_percent', ''), '0')::numeric <> p.offset_percent
            OR nullif(d.says ->> 'pre_allocation_share', '')::numeric
               IS DISTINCT FROM p.pre_allocation_share)
    UNION ALL
    SELECT 'plan_chain', concat('plan ', p.year, ' ', p.sector, ': version ', p.id,
                                ' does not follow the one before it')
      FROM plan p JOIN plan former ON former.id = p.replaces_id
     WHERE (former.year, former.sector) <> (p.year, p.sector) OR former.starts_on > p.starts_on
    UNION ALL
    SELECT 'plan_carried_out', concat('application ', number, ' was approved and not carried out')
      FROM decided d WHERE NOT EXISTS (SELECT FROM plan p WHERE p.application_id = d.id)
"""

# Each approved carry-over granted what it recalled, by a batch of two officers; nobody carried over more
# than the notice says; notices are as many, and as much, as two officers signed.
_CARRY_OVERS = """
    SELECT 'carry_over', concat('application ', number, ' ', fault) FROM carry_over_fault
     WHERE fault IS NOT NULL
    UNION ALL
    SELECT 'carry_over_quota', concat('notice ', n.number, ': allows ', n.quota, ', taken ', t.quantity)
      FROM carry_over_notice n
     CROSS JOIN LATERAL (
           SELECT sum(l.quantity) AS quantity
             FROM application a JOIN application_line l ON l.application_id = a.id
            WHERE a.kind = 'carry_over' AND a.status IN ('in_review', 'approved')
              AND a.proposal ->> 'notice' = n.id::text) t
     WHERE t.quantity > n.quota
    UNION ALL
    SELECT 'carry_over_notices', concat('application ', a.number, ': ', a.proposal ->> 'tonnes',
                                        ' tonnes were approved, its notices say ', t.tonnes)
      FROM application a
     CROSS JOIN LATERAL (SELECT count(*)::text AS count, coalesce(sum(quota), 0)::text AS tonnes
                           FROM carry_over_notice n WHERE n.application_id = a.id) t
     WHERE a.kind = 'carry_over_notices' AND a.status = 'approved'
       AND ((t.count, t.tonnes) IS DISTINCT FROM (a.proposal ->> 'count', a.proposal ->> 'tonnes')
            OR NOT approved_by_two(a.id))
"""

# Mirrored CCER: each unit is as its history and its application have it; what counts was cancelled by the
# CCER registry's signed word, or before it was told of.
_OFFSETS = """
    SELECT 'offset_history', concat('unit ', u.serial, ': is ', u.state, ', its history says ', e.state)
      FROM offset_unit u
      LEFT JOIN LATERAL (SELECT * FROM offset_event v WHERE v.unit_id = u.id ORDER BY v.id DESC LIMIT 1) e
             ON true
     WHERE (e.state, e.application_id) IS DISTINCT FROM (u.state, u.application_id)
    UNION ALL
    SELECT 'offset_confirmed', concat('unit ', u.serial, ': counts without a confirmed cancellation')
      FROM offset_unit u
     WHERE u.state IN ('cancelled', 'registered') AND NOT u.is_cancelled_before
       AND NOT EXISTS (SELECT FROM offset_message m JOIN offset_message_event v ON v.message_id = m.id
                        WHERE m.unit_id = u.id AND m.kind = 'cancel' AND m.state = 'done'
                          AND v.what = 'done' AND v.content <> '')
    UNION ALL
    SELECT 'offset_application', concat('unit ', u.serial, ': is ', u.state, ', its application ', a.number,
                                        ' is ', a.status)
      FROM offset_unit u JOIN application a ON a.id = u.application_id
     WHERE a.kind <> 'offset' OR a.account_id <> u.account_id
        OR (u.state = 'in_application') <> (a.status = 'in_review')
        OR (u.state IN ('approved', 'cancel_ordered', 'cancelled', 'registered')
            AND a.status <> 'approved')
"""

_SETTLED_ONCE = """
    WITH asked AS (
           SELECT a.id, l.instrument_id, sum(l.quantity) AS quantity
             FROM application a JOIN application_line l ON l.application_id = a.id
            WHERE a.status = 'approved' AND a.kind = ANY(CAST(:settling AS text[])) GROUP BY 1, 2),
         posted AS (
           SELECT p.application_id AS id, m.instrument_id, sum(m.quantity) AS quantity
             FROM posting p JOIN movement m ON m.posting_id = p.id
            WHERE p.stage = 'approval' AND p.business = ANY(CAST(:settling AS text[]))
              AND p.application_id IS NOT NULL
            GROUP BY 1, 2)
    SELECT DISTINCT 'approval_posting', concat('application ', id, ' and its approval disagree')
      FROM asked FULL JOIN posted USING (id, instrument_id, quantity)
     WHERE asked.id IS NULL OR posted.id IS NULL
"""

# What the database refuses as it is posted, proved again from the records (docs/adr/0058): each
# posting by its event, and each application and day-end that must have moved something.
_TIES = """
    SELECT 'posting_tie', concat('posting ', id, ' ', fault) FROM posting_tie WHERE fault IS NOT NULL
    UNION ALL
    SELECT 'application_status', concat('application ', a.number, ' is ', a.status,
                                        ', its last event made it ', e.status)
      FROM application a
      JOIN LATERAL (SELECT status FROM application_event e WHERE e.application_id = a.id
                     ORDER BY id DESC LIMIT 1) e ON e.status <> a.status
    UNION ALL
    SELECT 'not_reversed', concat('posting ', p.id, ' stands, its application ', a.number, ' is ', a.status)
      FROM posting p JOIN application a ON a.id = p.application_id
     WHERE p.reverses_id IS NULL AND a.status NOT IN ('in_review', 'pending_settlement', 'approved')
       AND NOT EXISTS (SELECT FROM posting r WHERE r.reverses_id = p.id)
    UNION ALL
    SELECT 'day_end', concat('day-end ', r.day, ': ', r.to_trading_quantity, ' + ', r.to_registry_quantity,
                             ' tonnes, posted ', posted.quantity)
      FROM settlement_run r
     CROSS JOIN LATERAL (SELECT coalesce(sum(m.quantity), 0) AS quantity FROM movement m
                          WHERE m.posting_id = r.posting_id) posted
     WHERE posted.quantity <> r.to_trading_quantity + r.to_registry_quantity
"""

# Each trade's posting moves both legs, in full, and nothing else; none was delivered that two officers
# and the exchange did not agree on; money moves by its own businesses alone.
_TRADES = f"""
    WITH leg AS (
           SELECT d.trade_id, m.instrument_id, l.account_id,
                  CASE WHEN l.delta < 0 AND l.bucket = {int(Bucket.PROCEEDS)}
                       THEN {int(Bucket.AVAILABLE)} ELSE l.bucket END AS bucket, l.delta
             FROM trade_delivery d JOIN movement m ON m.posting_id = d.posting_id
            CROSS JOIN LATERAL (VALUES (m.from_account, m.from_bucket, -m.quantity),
                                       (m.to_account, m.to_bucket, m.quantity))
                            AS l (account_id, bucket, delta)),
         moved AS (
           SELECT trade_id, account_id, instrument_id, bucket, sum(delta) AS moved FROM leg
            GROUP BY 1, 2, 3, 4 HAVING sum(delta) <> 0),
         wanted AS (
           SELECT t.id AS trade_id, w.account_id, w.instrument_id, w.bucket, sum(w.delta) AS wanted
             FROM trade t JOIN trade_delivery d ON d.trade_id = t.id
            CROSS JOIN LATERAL (VALUES
              (t.seller_id, t.instrument_id, {int(Bucket.TRADING)}, -t.quantity),
              (t.buyer_id, t.instrument_id, {int(Bucket.TRADING)}, t.quantity),
              (t.buyer_id, t.buyer_money_id, {int(Bucket.AVAILABLE)}, -(t.amount + t.buy_fee)),
              (t.seller_id, t.seller_money_id, {int(Bucket.PROCEEDS)}, t.amount - t.sell_fee),
              ({FEES_ACCOUNT_ID}, t.buyer_money_id, {int(Bucket.AVAILABLE)}, t.buy_fee),
              ({FEES_ACCOUNT_ID}, t.seller_money_id, {int(Bucket.AVAILABLE)}, t.sell_fee),
              ({ISSUANCE_ACCOUNT_ID}, t.buyer_money_id, {int(Bucket.ISSUED)},
               CASE WHEN t.buyer_money_id <> t.seller_money_id THEN t.amount ELSE 0 END),
              ({ISSUANCE_ACCOUNT_ID}, t.seller_money_id, {int(Bucket.ISSUED)},
               CASE WHEN t.buyer_money_id <> t.seller_money_id THEN -t.amount ELSE 0 END))
                            AS w (account_id, instrument_id, bucket, delta)
            GROUP BY 1, 2, 3, 4 HAVING sum(w.delta) <> 0)
    SELECT DISTINCT 'trade_delivery', concat('trade ', trade_id, ' and its posting disagree')
      FROM moved FULL JOIN wanted USING (trade_id, account_id, instrument_id, bucket)
     WHERE moved IS DISTINCT FROM wanted
    UNION ALL
    SELECT DISTINCT 'trade_agreed', concat('package ', t.package_id, ': trades are delivered that nobody',
                                           ' approved and confirmed')
      FROM trade t JOIN trade_delivery d ON d.trade_id = t.id JOIN day_package p ON p.id = t.package_id
     WHERE NOT EXISTS (
             SELECT FROM application a
               JOIN settlement_confirmation c ON c.application_id = a.id
                AND c.result_digest = a.proposal ->> 'result'
              WHERE a.kind = 'trade_settlement' AND a.status = 'approved'
                AND a.proposal ->> 'package' = t.package_id::text AND a.proposal ->> 'digest' = p.digest
                AND approved_by_two(a.id))
    UNION ALL
    SELECT 'money_moved', concat('movement ', m.id, ' of ', p.business, ' moves ',
                                 CASE i.kind WHEN 'money' THEN 'money' ELSE 'tonnes' END)
      FROM movement m JOIN posting p ON p.id = m.posting_id JOIN instrument i ON i.id = m.instrument_id
     WHERE (i.kind = 'money' AND p.business = ANY(CAST(:of_tonnes AS text[])))
        OR (i.kind <> 'money' AND p.business = ANY(CAST(:of_money AS text[])))
        OR (i.kind <> 'money' AND {int(Bucket.PROCEEDS)} IN (m.from_bucket, m.to_bucket))
    UNION ALL
    SELECT 'proceeds_release', concat('release of ', r.day, ': ', r.amount, ', posted ', posted.amount)
      FROM proceeds_release r
     CROSS JOIN LATERAL (SELECT coalesce(sum(m.quantity), 0) AS amount FROM movement m
                          WHERE m.posting_id = r.posting_id) posted
     WHERE posted.amount <> r.amount
"""  # noqa: S608 - our own numbers

_APPLICATION_POSTINGS = """
    WITH submitted AS (
           SELECT id, posting_id FROM application
            WHERE kind = ANY(CAST(:reserving AS text[]))
              AND (posting_id IS NOT NULL OR status IN ('in_review', 'pending_settlement', 'approved'))),
         asked AS (
           SELECT s.id, l.instrument_id, sum(l.quantity) AS quantity
             FROM submitted s JOIN application_line l ON l.application_id = s.id GROUP BY 1, 2),
         posted AS (
           SELECT s.id, m.instrument_id, sum(m.quantity) AS quantity
             FROM submitted s JOIN posting p ON p.id = s.posting_id AND p.application_id = s.id
             JOIN movement m ON m.posting_id = p.id GROUP BY 1, 2)
    SELECT DISTINCT 'application_posting', concat('application ', id, ' and its posting disagree')
      FROM asked FULL JOIN posted USING (id, instrument_id, quantity)
     WHERE asked.id IS NULL OR posted.id IS NULL
"""

_CHECKS = (
    _BALANCES,
    _SUMS,
    _SIGNS,
    _ENTRY_CHAIN,
    _MOVEMENT_ENTRIES,
    _POSTINGS,
    _REVERSALS,
    _SEALS,
    _APPLICATIONS,
    _LIMITS,
    _NOTICES,
    _PLANS,
    _TIES,
    _TRADES,
    _APPLICATION_POSTINGS,
    _SETTLED_ONCE,
    _NETTINGS,
    _COURTS,
    _WAITING,
    _CARRY_OVERS,
    _OFFSETS,
)
