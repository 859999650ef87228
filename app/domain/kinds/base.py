"""What a kind of application is: mostly data, and at most two small methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from flask_babel import lazy_gettext as _

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.moves import Bucket, Move, within
from app.domain.trading_day import TradingMoment
from app.domain.workflow import Case, Party


@dataclass(slots=True)
class Facts:
    """What the rules may look at when they judge a batch of cases, read once for the batch.

    ``available`` runs down as cases of the same batch are accepted, so that two cases of one
    account cannot both count on the same tonnes.
    """

    moment: TradingMoment
    holdings: dict[tuple[int, int, Bucket], int]  # (account, instrument, bucket) -> tonnes
    instruments: Mapping[int, str]  # id -> name as shown
    restricted: frozenset[int] = frozenset()  # accounts whose debits are refused
    tradable: frozenset[tuple[int, int]] = frozenset()  # (venue, instrument) with a trade code
    permitted: frozenset[int] = frozenset()  # accounts that let the exchange fetch holdings

    def take(self, case: Case, bucket: Bucket) -> None:
        """Set the tonnes of every line aside, or none of them.

        Raises InsufficientQuantity naming the first instrument that lacks tonnes.
        """
        left: dict[tuple[int, int, Bucket], int] = {}
        for line in case.lines:
            key = (case.account_id, line.instrument_id, bucket)
            left[key] = left.get(key, self.holdings.get(key, 0)) - line.quantity
            if left[key] < 0:
                raise InsufficientQuantity(
                    _(
                        "%(instrument)s: %(quantity)s tonnes asked for,"
                        " but only %(left)s tonnes are available",
                        instrument=self.instruments.get(line.instrument_id, line.instrument_id),
                        quantity=f"{line.quantity:,}",
                        left=f"{left[key] + line.quantity:,}",
                    ),
                    field=f"lines.{line.instrument_id}.quantity",
                )
        self.holdings |= left


class Kind:
    """A kind of application (业务申请): who starts it, who agrees, what moves when."""

    code: ClassVar[str]
    title: ClassVar[Any]
    prefix: ClassVar[str]  # of the application's number
    started_by: ClassVar[Party] = Party.APPLICANT
    reviews: ClassVar[tuple[Party, ...]] = ()
    reserves: ClassVar[tuple[Bucket, Bucket] | None] = None  # on submission
    settles: ClassVar[tuple[Bucket, Bucket] | None] = None  # on the last approval
    settles_at_day_end: ClassVar[bool] = False
    debits: ClassVar[bool] = True  # refused to a restricted account (domain.md 11.7)

    def check(self, case: Case, facts: Facts) -> None:
        """Raise RuleError where this kind's own rules refuse the case."""

    def judge(self, case: Case, facts: Facts) -> date | None:
        """Run every check of a submission and set its tonnes aside.

        Returns the day it settles on, for kinds that settle at day-end.  Raises RuleError.
        """
        if not case.lines:
            raise RuleError(_("Choose at least one instrument"), field="lines", code="no_lines")
        if self.debits and case.account_id in facts.restricted:
            raise NotAllowed(
                _("The account is restricted; transfers and other debits are refused"),
                code="account_restricted",
            )
        settles_on = facts.moment.accepting_day() if self.settles_at_day_end else None
        self.check(case, facts)
        if self.reserves:
            facts.take(case, self.reserves[0])
        return settles_on

    def reserving(self, case: Case) -> tuple[Move, ...]:
        """The moves of a submission."""
        return self._moves(case, self.reserves)

    def settling(self, case: Case) -> tuple[Move, ...]:
        """The moves of the last approval."""
        return self._moves(case, self.settles)

    @staticmethod
    def _moves(case: Case, route: tuple[Bucket, Bucket] | None) -> tuple[Move, ...]:
        if route is None:
            return ()
        return tuple(
            within(case.account_id, line.instrument_id, *route, line.quantity)
            for line in case.lines
        )
