"""The nation's papers: issuance applications, 履约通知书 of every year and what was surrendered for them.

They are rows of the same COPY as the ledger; what a paper moves is posted as the engine posts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket, Stage

RUNNING = 2025  # the compliance year that is not over
# What becomes of its notices: weight, share of the obligation that is asked for, in per cent, and how
# far that comes.
COURSES = (
    (45, 100, "approved"),
    (15, 60, "approved"),
    (12, 100, "in_review"),
    (4, 100, "returned"),
    (4, 80, "draft"),
    (20, 0, ""),
)
FIRST_SURRENDER, SURRENDER_DAYS = date(2026, 10, 12), 40  # of the running year
PASSED_BEHIND = 0.03  # of the enterprises stay behind in a year that is over
ISSUANCE_TYPES = {"YF": "pre_allocation", "HD": "approved"}

Lines = Sequence[tuple[int, int]]  # index of the vintage, tonnes


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, as events name them."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Paper:
    """An application of one enterprise, entered and decided by persons on one day."""

    kind: str
    prefix: str
    account: int
    day: date
    lines: Lines
    by: Person
    reviewer: Person
    status: str = "approved"
    category: str = ""
    reason: str = ""
    notice: int | None = None
    entered: str = "16:00:00"  # after the day-end's posting
    decided: str = "16:30:00"


@dataclass(slots=True)
class Papers:
    """Writes papers; ``nation`` counts ids and gathers the rows."""

    nation: Any
    vintages: Sequence[Any]
    notices: int = 0
    running: list[tuple[date, Any, int, int]] = field(default_factory=list)

    # 发放 ----------------------------------------------------------------------------------------

    def issue(self, one: Any, index: int, quantity: int, kind: str, day: date) -> None:
        """Issue to one enterprise: entered by the registry's first officer, confirmed by the second."""
        maker, checker = self.nation.officers["R0001"], self.nation.officers["R0002"]
        paper = Paper(
            "issuance", "FF", one.id, day, [(index, quantity)], maker, checker,
            category=ISSUANCE_TYPES[kind], reason="按分配方案发放",
            entered="08:30:00", decided="09:00:00",
        )  # fmt: skip
        self._write(paper)
        one.available[index] += quantity

    # 履约 ----------------------------------------------------------------------------------------

    def settle_year(self, one: Any, index: int, day: date) -> None:
        """Close a year that is over: nearly all surrender what they owe, some have not enough."""
        chance = self.nation.random
        if not one.issued[index]:
            return
        tonnes = int(one.available[index] * chance.uniform(0.9, 0.99))
        behind = not tonnes or chance.random() < PASSED_BEHIND
        missing = 1 + int(one.issued[index] * chance.uniform(0.01, 0.2)) if behind else 0
        year = self.vintages[index].year
        accepted = [each for each, vintage in enumerate(self.vintages) if vintage.year <= year]
        notice = self._notice(one, index, tonnes + missing, day.year, accepted)
        if tonnes:
            self._surrender(one, [(index, tonnes)], notice, day, "approved")

    def call_for(self, one: Any, index: int) -> None:
        """Ask for the running year's tonnes, and note what will become of it."""
        chance = self.nation.random
        if not one.issued[index]:
            return
        vintage = self.vintages[index]
        obligation = 1 + int(one.issued[index] * chance.uniform(0.55, 0.9))
        accepted = [each for each, v in enumerate(self.vintages) if v.year >= vintage.year]
        notice = self._notice(one, index, obligation, vintage.year + 1, accepted)
        (_weight, share, course) = chance.choices(COURSES, [each[0] for each in COURSES])[0]
        if course:
            on = FIRST_SURRENDER + timedelta(chance.randrange(SURRENDER_DAYS))
            self.running.append((on, one, notice, obligation * share // 100))
            one.course = course

    def surrender_due(self, day: date) -> None:
        """Let those surrender for the running year whose day has come."""
        due = [each for each in self.running if each[0] <= day]
        self.running = [each for each in self.running if each[0] > day]
        for _on, one, notice, wanted in due:
            lines = []
            for index in [n for n, vintage in enumerate(self.vintages) if vintage.year >= RUNNING]:
                quantity = min(wanted, one.available[index])
                if quantity > 0:
                    lines.append((index, quantity))
                    wanted -= quantity
            if lines:
                self._surrender(one, lines, notice, day, one.course)

    def _notice(
        self, one: Any, index: int, tonnes: int, until: int, accepted: Sequence[int]
    ) -> int:
        self.notices += 1
        vintage = self.vintages[index]
        issued_on = vintage.issues[-1][0] + timedelta(3)
        add: Callable[..., None] = self.nation.add
        add("notice", self.notices, f"LT{vintage.year}{self.notices:08d}", one.id, vintage.year,
            tonnes, f"{until}-12-31 23:59:59+08", self.nation.officers["R0001"].id,
            f"{issued_on} 10:00:00+08")  # fmt: skip
        for each in accepted:
            add("notice_instrument", self.notices, each + 1)
        return self.notices

    def _surrender(self, one: Any, lines: Lines, notice: int, day: date, status: str) -> None:
        by, reviewer = Person(one.member_id, one.name), self.nation.provinces[one.province]
        self._write(
            Paper(
                "surrender",
                "LQ",
                one.id,
                day,
                lines,
                by,
                reviewer,
                status,
                reason="年度履约",
                notice=notice,
            )
        )
        if status in ("approved", "in_review"):
            for index, quantity in lines:
                one.available[index] -= quantity

    # Rows ---------------------------------------------------------------------------------------

    def _write(self, paper: Paper) -> None:
        """Write an application with its lines, events and postings, as the engine would have."""
        nation = self.nation
        nation.applications += 1
        id_ = nation.applications
        number = f"{paper.prefix}{paper.day.year}{id_:08d}"
        submission = self._post(paper, id_, number)
        events = EVENTS[paper.status]
        is_submitted = len(events) > 1
        entered, decided = (f"{paper.day} {each}+08" for each in (paper.entered, paper.decided))
        nation.add("application", id_, number, paper.kind, paper.account, paper.status,
                   len(events) - 1, paper.reason, "", f"national:{id_}", paper.by.id, entered,
                   paper.by.id if is_submitted else None, entered if is_submitted else None, None,
                   submission, paper.category, paper.notice,
                   int(paper.status == "approved"))  # fmt: skip
        for index, quantity in paper.lines:
            nation.add("application_line", id_, index + 1, quantity, None)
        for event in events:
            of_reviewer = event in WORDS
            at, person = (decided, paper.reviewer) if of_reviewer else (entered, paper.by)
            nation.add("application_event", id_, event, at, person.id, person.name, "",
                       WORDS.get(event, ""))  # fmt: skip

    def _post(self, paper: Paper, id_: int, number: str) -> int | None:
        """Post what a paper moves; return its submission's posting where that still holds."""
        if paper.status == "draft":
            return None
        entered, decided = (f"{paper.day} {each}+08" for each in (paper.entered, paper.decided))
        submission = None
        if paper.kind == "surrender":
            submission = self._move(paper, id_, number, Stage.SUBMISSION, paper.by, entered,
                                    Bucket.AVAILABLE, Bucket.RESERVED)  # fmt: skip
            if paper.status == "returned":
                self._move(paper, id_, number, Stage.SENT_BACK, paper.reviewer, decided,
                           Bucket.RESERVED, Bucket.AVAILABLE, submission)  # fmt: skip
                return None
        if paper.status == "approved":
            route = ROUTES[paper.kind]
            self._move(paper, id_, number, Stage.APPROVAL, paper.reviewer, decided, *route)
        return submission

    def _move(
        self,
        paper: Paper,
        id_: int,
        number: str,
        stage: Stage,
        by: Person,
        at: str,
        source: Bucket,
        target: Bucket,
        reverses: int | None = None,
    ) -> int:
        key = f"reverse:{reverses}" if reverses else f"{paper.kind}:{id_}:{stage}:0"
        nation = self.nation
        posting: int = nation.post(paper.kind, stage, key, number, id_, reverses, by.id, at)
        giver = ISSUANCE_ACCOUNT_ID if source is Bucket.ISSUED else paper.account
        for index, quantity in paper.lines:
            nation.move(posting, at, index + 1, quantity, giver, source, paper.account, target)
        return posting


EVENTS = {
    "draft": ("save",),
    "in_review": ("save", "submit"),
    "approved": ("save", "submit", "approve"),
    "returned": ("save", "submit", "send_back"),
}
WORDS = {"approve": "同意", "send_back": "请核对申请提交量"}
ROUTES = {
    "issuance": (Bucket.ISSUED, Bucket.AVAILABLE),
    "surrender": (Bucket.RESERVED, Bucket.SURRENDERED),
}
