"""The invariants of every scenario."""

from __future__ import annotations

from app.domain.kinds import KINDS
from app.domain.moves import Bucket
from app.domain.workflow import Party
from app.extensions import db
from app.operations.ledger.verification import verify_ledger


def assert_sound() -> None:
    """Assert that the ledger verifies, and that applications and ledger agree.

    `verify_ledger` covers conservation per instrument, non-negative buckets, replay, balances and what
    open applications and documents hold.  In addition: custody, agreements, reviewers.
    """
    db.session.rollback()
    report = verify_ledger()
    assert report.is_sound, report.faults
    for check in (_custody_is_what_deposits_left, _nobody_reviewed_their_own, _receivers_agreed):
        check()
    db.session.rollback()


def _custody_is_what_deposits_left() -> None:
    """Custody equals approved deposits less pending and approved returns."""
    wrong = db.session.execute(
        db.text(
            f"""
            WITH said AS (
              SELECT a.account_id, l.instrument_id,
                     sum(CASE WHEN a.kind = 'custody_deposit' THEN l.quantity ELSE -l.quantity END)
                       FILTER (WHERE a.kind = 'custody_return' OR a.status = 'approved') AS kept
                FROM application a JOIN application_line l ON l.application_id = a.id
               WHERE a.kind IN ('custody_deposit', 'custody_return')
                 AND a.status IN ('in_review', 'approved')
               GROUP BY 1, 2)
            SELECT account_id, instrument_id, h.{Bucket.CUSTODY.column} AS held, said.kept
              FROM holding h FULL JOIN said USING (account_id, instrument_id)
             WHERE coalesce(h.{Bucket.CUSTODY.column}, 0) <> coalesce(said.kept, 0)
            """
        )
    ).all()
    assert wrong == []


def _nobody_reviewed_their_own() -> None:
    """Whoever entered or submitted an application has not decided on it."""
    wrong = db.session.execute(
        db.text(
            """
            SELECT a.number, e.action, e.member_id
              FROM application a JOIN application_event e ON e.application_id = a.id
              JOIN ab_user m ON m.id = e.member_id
             WHERE e.action IN ('approve', 'send_back')
               AND (e.member_id = a.submitted_by
                    -- Of two operators of one enterprise, who entered may be the second (0038).
                    OR m.account_id IS DISTINCT FROM a.account_id
                    AND EXISTS (SELECT FROM application_event o
                                WHERE o.application_id = a.id AND o.member_id = e.member_id
                                  AND o.id < e.id AND o.action IN ('save', 'submit')))
            """
        )
    ).all()
    assert wrong == []


def _receivers_agreed() -> None:
    """All receivers of the lines are asked, or those that the application names where no line does.

    After that step all of them have agreed.  During it at least one has not: the last agreement
    advances the application, and the step is passed over where nobody is named.
    """
    asking = [code for code, kind in KINDS.items() if Party.RECEIVER in kind.reviews]
    steps = {code: KINDS[code].reviews.index(Party.RECEIVER) for code in asking}
    rows = db.session.execute(
        db.text(
            """
            SELECT a.kind, a.status, a.step, a.number,
                   array(SELECT DISTINCT l.account_id FROM application_line l
                          WHERE l.application_id = a.id AND l.account_id IS NOT NULL
                          ORDER BY 1) AS receivers,
                   array(SELECT p.account_id FROM application_party p
                          WHERE p.application_id = a.id ORDER BY 1) AS asked,
                   array(SELECT p.account_id FROM application_party p
                          WHERE p.application_id = a.id AND p.agreed_at IS NOT NULL
                          ORDER BY 1) AS agreed
              FROM application a
             WHERE a.kind = ANY(:kinds) AND a.status IN ('in_review', 'approved')
            """
        ),
        {"kinds": asking},
    )
    for row in rows:
        assert row.receivers in (row.asked, []), row.number
        is_over = row.status == "approved" or row.step > steps[row.kind]
        if row.asked:
            assert (row.agreed == row.asked) == is_over, row.number
        else:
            assert is_over or row.step < steps[row.kind], row.number
