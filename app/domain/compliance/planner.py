"""履约规划: which holdings cover what is still due, those first that lose their use first.

Pure: what is due, what is held and what the plans accept come in, a proposal goes out; in tonnes.

A greedy choice alone may leave a notice open that could be covered: the allowance that loses its use
first may be the only one that another notice accepts.  So it is a flow: notices in order of their
deadline, each filled from the holdings in order of their loss of use, along ways that let an earlier
choice be exchanged.  Exchanging never lowers what a holding gives nor what a notice has got, so that
the earliest notices are covered as far as they can be, all of them together as far as they can be, and
of the holdings those are used that lose their use first (docs/adr/0094).

CCER comes before: its units count as a whole and for nothing else, and each saves an allowance.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

FOREVER = 9999  # a vintage that no known plan ends


@dataclass(frozen=True, slots=True)
class Due:
    """A notice with a rest: neither surrendered nor under review."""

    id: int
    deadline: datetime
    rest: int
    vintages: frozenset[int]  # allowances accepted
    # Of the cap for CCER; 0 where none is accepted, or its last day has passed.
    offset_left: int = 0
    units: frozenset[int] = frozenset()  # of CCER that it accepts


@dataclass(frozen=True, slots=True)
class Held:
    """Available tonnes of an instrument; ``last_year`` is the last compliance year that accepts it."""

    instrument_id: int
    vintage: int
    available: int
    last_year: int


@dataclass(frozen=True, slots=True)
class Offset:
    """A unit of CCER that waits for offset; it counts as a whole."""

    id: int
    quantity: int


@dataclass(slots=True)
class Proposal:
    """What is surrendered for which notice, what each lacks, and what is left of each holding."""

    lines: dict[int, dict[int, int]] = field(default_factory=dict)  # notice -> instrument -> tonnes
    offsets: dict[int, dict[int, int]] = field(default_factory=dict)  # notice -> unit -> tonnes
    missing: dict[int, int] = field(default_factory=dict)  # by notice
    left: dict[int, int] = field(default_factory=dict)  # by instrument


def last_years(plans: Sequence[tuple[int, frozenset[int]]]) -> dict[int, int]:
    """Return the last compliance year that accepts each vintage, by plans of (year, vintages)."""
    found: dict[int, int] = {}
    for year, vintages in plans:
        for vintage in vintages:
            found[vintage] = max(year, found.get(vintage, year))
    return found


def propose(dues: Sequence[Due], held: Sequence[Held], units: Sequence[Offset] = ()) -> Proposal:
    """Cover the notices as far as CCER and the holdings go."""
    ordered = sorted(dues, key=lambda each: (each.deadline, each.id))
    offsets = _offsets(ordered, units)
    ordered = [
        replace(each, rest=each.rest - sum(offsets.get(each.id, {}).values())) for each in ordered
    ]
    sources = sorted(
        (each for each in held if each.available > 0),
        key=lambda each: (each.last_year, each.vintage, each.instrument_id),
    )
    net = _network(ordered, sources)
    for due in ordered:
        for source in sources:
            net.push(_source(source), _notice(due))
    found = _read(net, ordered, sources)
    found.offsets = offsets
    return found


def _offsets(dues: Sequence[Due], units: Sequence[Offset]) -> dict[int, dict[int, int]]:
    """Choose whole units for each notice in turn, the largest that still fits first."""
    found: dict[int, dict[int, int]] = {}
    free = sorted(units, key=lambda each: (-each.quantity, each.id))
    for due in dues:
        room = min(due.rest, due.offset_left)
        for unit in [each for each in free if each.id in due.units]:
            if unit.quantity <= room:
                found.setdefault(due.id, {})[unit.id] = unit.quantity
                room -= unit.quantity
                free.remove(unit)
    return found


Node = tuple[str, int]
START: Node = ("start", 0)
END: Node = ("end", 0)


def _source(held: Held) -> Node:
    return "held", held.instrument_id


def _notice(due: Due) -> Node:
    return "due", due.id


class _Net:
    """Tonnes that may still go from a node to another; those of the opposite way can be taken back."""

    def __init__(self) -> None:
        self.rest: dict[Node, dict[Node, int]] = {}

    def connect(self, giver: Node, taker: Node, most: int) -> None:
        self.rest.setdefault(giver, {})[taker] = most
        self.rest.setdefault(taker, {}).setdefault(giver, 0)

    def push(self, source: Node, notice: Node) -> None:
        """Move as much as possible from one holding to one notice, exchanging what others give."""
        while self.rest[START][source] and self.rest[notice][END]:
            way = self._way(source, notice)
            if not way:
                return
            nodes = [START, *way, END]
            steps = [(nodes[place], nodes[place + 1]) for place in range(len(nodes) - 1)]
            tonnes = min(self.rest[giver][taker] for giver, taker in steps)
            for giver, taker in steps:
                self.rest[giver][taker] -= tonnes
                self.rest[taker][giver] += tonnes

    def _way(self, source: Node, notice: Node) -> list[Node]:
        """Return the shortest way with room between the two, or nothing."""
        came: dict[Node, Node] = {source: source}
        waiting = deque([source])
        while waiting:
            node = waiting.popleft()
            if node == notice:
                break
            for taker, room in self.rest.get(node, {}).items():
                if room > 0 and taker not in came and taker not in (START, END):
                    came[taker] = node
                    waiting.append(taker)
        if notice not in came:
            return []
        way = [notice]
        while way[-1] != source:
            way.append(came[way[-1]])
        return way[::-1]


def _network(dues: Sequence[Due], sources: Sequence[Held]) -> _Net:
    net = _Net()
    net.rest[START], net.rest[END] = {}, {}
    for source in sources:
        net.connect(START, _source(source), source.available)
    for due in dues:
        net.connect(_notice(due), END, due.rest)
        for source in sources:
            if source.vintage in due.vintages:
                net.connect(_source(source), _notice(due), source.available)
    return net


def _read(net: _Net, dues: Sequence[Due], sources: Sequence[Held]) -> Proposal:
    found = Proposal(left={each.instrument_id: 0 for each in sources})
    for due in dues:
        lines: dict[int, int] = {}
        for source in sources:
            given = net.rest[_notice(due)].get(_source(source), 0)
            if given:
                lines[source.instrument_id] = given
        if lines:
            found.lines[due.id] = lines
        found.missing[due.id] = net.rest[_notice(due)][END]
    for source in sources:
        found.left[source.instrument_id] = net.rest[START][_source(source)]
    return found


def covered(proposal: Proposal) -> Mapping[int, int]:
    """Return the tonnes proposed for each notice, CCER included."""
    found: Counter[int] = Counter()
    for id_, tonnes in (*proposal.lines.items(), *proposal.offsets.items()):
        found[id_] += sum(tonnes.values())
    return found
