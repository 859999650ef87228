"""履约规划: which holdings cover what is still due, those first that lose their use first.

Pure: what is due, what is held and what the plans accept come in, a proposal goes out; in tonnes.

A greedy choice alone may leave a notice open that could be covered: the allowance that loses its use
first may be the only one that another notice accepts.  So it is a flow: notices in order of their
deadline, each filled from the holdings in order of their loss of use, along ways that let an earlier
choice be exchanged.  Exchanging never lowers what a holding gives nor what a notice has got, so that
the earliest notices are covered as far as they can be, all of them together as far as they can be, and
of the holdings those are used that lose their use first (docs/adr/0094).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

FOREVER = 9999  # a vintage that no known plan ends


@dataclass(frozen=True, slots=True)
class Due:
    """A notice with a rest: neither surrendered nor under review."""

    id: int
    deadline: datetime
    rest: int
    vintages: frozenset[int]  # allowances accepted
    offset_left: int = (
        0  # of the cap for CCER; 0 where none is accepted, or its last day has passed
    )


@dataclass(frozen=True, slots=True)
class Held:
    """Available tonnes of an instrument; ``last_year`` is the last compliance year that accepts it."""

    instrument_id: int
    vintage: int
    available: int
    last_year: int
    is_offset: bool = False


@dataclass(slots=True)
class Proposal:
    """What is surrendered for which notice, what each lacks, and what is left of each holding."""

    lines: dict[int, dict[int, int]] = field(default_factory=dict)  # notice -> instrument -> tonnes
    missing: dict[int, int] = field(default_factory=dict)  # by notice
    left: dict[int, int] = field(default_factory=dict)  # by instrument


def last_years(plans: Sequence[tuple[int, frozenset[int]]]) -> dict[int, int]:
    """Return the last compliance year that accepts each vintage, by plans of (year, vintages)."""
    found: dict[int, int] = {}
    for year, vintages in plans:
        for vintage in vintages:
            found[vintage] = max(year, found.get(vintage, year))
    return found


def propose(dues: Sequence[Due], held: Sequence[Held]) -> Proposal:
    """Cover the notices as far as the holdings go."""
    ordered = sorted(dues, key=lambda each: (each.deadline, each.id))
    sources = sorted(
        (each for each in held if each.available > 0),
        key=lambda each: (each.last_year, each.is_offset, each.vintage, each.instrument_id),
    )
    net = _network(ordered, sources)
    for due in ordered:
        for source in sources:
            net.push(_source(source), _notice(due))
    return _read(net, ordered, sources)


Node = tuple[str, int]
START: Node = ("start", 0)
END: Node = ("end", 0)


def _source(held: Held) -> Node:
    return "held", held.instrument_id


def _notice(due: Due) -> Node:
    return "due", due.id


def _cap(due: Due) -> Node:
    """The notice's cap for CCER, through which every tonne of CCER goes."""
    return "cap", due.id


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
        net.connect(_cap(due), _notice(due), due.offset_left)
        for source in sources:
            if source.is_offset:
                net.connect(_source(source), _cap(due), source.available)
            elif source.vintage in due.vintages:
                net.connect(_source(source), _notice(due), source.available)
    return net


def _read(net: _Net, dues: Sequence[Due], sources: Sequence[Held]) -> Proposal:
    found = Proposal(left={each.instrument_id: 0 for each in sources})
    for due in dues:
        lines: dict[int, int] = {}
        for source in sources:
            taker = _cap(due) if source.is_offset else _notice(due)
            given = net.rest.get(taker, {}).get(_source(source), 0)
            if given:
                lines[source.instrument_id] = given
        if lines:
            found.lines[due.id] = lines
        found.missing[due.id] = net.rest[_notice(due)][END]
    for source in sources:
        found.left[source.instrument_id] = net.rest[START][_source(source)]
    return found


def covered(proposal: Proposal) -> Mapping[int, int]:
    """Return the tonnes proposed for each notice."""
    return {id_: sum(lines.values()) for id_, lines in proposal.lines.items()}
