"""The rows that wait for a batch: who may join, and whose turn it is. Plain data; the batcher owns it, under its lock.

Turns are fair on two levels. Between flows, a flow being the rows of one model and priority: the one that has been
served least for its weight leads the next batch (start-time fair queueing, Goyal, Vin and Cheng 1996). Within a flow,
between requests: a row's turn comes when as much has been served as lies before it in its own request, so a request of
one text does not wait behind one of a thousand. Rows of any flow that are similar in length ride along. Nobody starves:
weights are finite, and a row's turn does not move once it is given.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Generic, Protocol, TypeVar

from engine.packing import RunCost, plan_batch
from engine.precision import Precision

PLAN_AHEAD_ROWS = 512
"""How many waiting rows, oldest first, a plan looks at."""
PLAN_AHEAD_BATCHES = 6
"""It chooses from those that would fill so many batches, of which one request can fill one: enough to find rows of
similar length, and no more, because whoever rides along passes those that came before."""
LARGE_TOKENS = 512
"""Before a small request a larger one counts as so much, or as its longest text: their texts take turns, so that the
rest of it is not served before."""
MOST_TIMES_LIMIT = 16
"""All models together hold at most so many times what one may; this bounds memory, not waiting."""
_WEIGHTS = {1: 16.0, 2: 4.0, 3: 1.0}
"""By priority: 1 before the others, 2 for everybody, 3 for what may wait."""


def priority_class(priority: int) -> int:
    """The protocol's `priority` (0 the default, 1 the highest, larger is lower) as one of the three classes."""
    return 2 if priority == 0 else min(priority, 3)


class WaitingRow(Hashable, Protocol):
    """What the queue must know of a row."""

    @property
    def length_tokens(self) -> int: ...
    @property
    def request(self) -> Hashable:
        """What its rows were asked in."""
        ...

    @property
    def model(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def precision(self) -> Precision: ...


R = TypeVar("R", bound=WaitingRow)
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Held:
    """What waits of one request."""

    tokens: int
    longest: int
    """Tokens of its longest text, of those that have left as well."""

    @property
    def ahead(self) -> int:
        """Tokens that are served before a small newcomer."""
        return min(self.tokens, max(LARGE_TOKENS, self.longest))


_NOTHING = _Held(0, 0)


@dataclass(slots=True)
class _Flow(Generic[R]):
    """The waiting rows of one model and priority."""

    priority: int
    served: float
    """Weighted tokens it has had, counted from when others had had as much."""
    now: float = 0.0
    """Virtual time among its requests: tokens that a request has had which waited all the time."""
    requests: dict[Hashable, int] = field(default_factory=dict)
    """Waiting rows of each request that has any."""
    rows: int = 0
    """Waiting rows in all."""
    turns: list[tuple[float, int, R]] = field(default_factory=list)
    """A heap: when each row's turn comes, in virtual time. Rows that left are still in it."""


class Waiting(Generic[R]):
    """Rows in order of arrival, bounded in tokens. A full queue refuses; see `has_room`."""

    def __init__(self, *, limit_tokens: int) -> None:
        self.limit_tokens = limit_tokens
        self.tokens = 0
        self._rows: OrderedDict[R, None] = OrderedDict()
        self._flows: dict[tuple[str, int], _Flow[R]] = {}
        self._of_request: dict[Hashable, _Held] = {}
        self._by_model: dict[str, int] = {}
        """Waiting tokens."""
        self._ahead = 0
        """Waiting tokens that are served before a small newcomer; see _Held.ahead."""
        self._ahead_by_model: dict[str, int] = {}
        self._debts: dict[tuple[str, int], float] = {}
        """What flows had had that have no rows now, as long as it is more than others have had."""
        self._now = 0.0
        """Virtual time among the flows: what the one that led last had had before."""
        self._arrivals = count()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def oldest(self) -> R | None:
        return next(iter(self._rows), None)

    def tokens_before(self, model: str, *, request_tokens: int = 0) -> int:
        """Tokens that are served before a new request of `model`: its own, and as many of every other model's."""
        large = request_tokens > LARGE_TOKENS
        of_model = (self._by_model if large else self._ahead_by_model).get(model, 0)
        return min(self.tokens if large else self._ahead, of_model * len(self._by_model))

    def has_room(self, model: str, *, request_tokens: int = 0) -> bool:
        """Whether a request of `model` may join. What other models hold makes nobody's queue full.

        One large request does not fill the queue for small ones, and large ones wait until there is room for all of
        one: more of them at once would each take longer than anybody waits. Else the size does not matter: a full
        queue that still took large requests would in time hold nothing else.
        """
        held = self.tokens if request_tokens > LARGE_TOKENS else self._ahead
        within = held <= MOST_TIMES_LIMIT * self.limit_tokens
        return within and self.tokens_before(model, request_tokens=request_tokens) <= self.limit_tokens

    def add(self, rows: Iterable[R]) -> None:
        """Add the rows of one request, which are all of one model and priority."""
        before = 0
        flow: _Flow[R] | None = None
        for row in rows:
            if flow is None:
                flow = self._flow(row.model, row.priority)
            flow.requests[row.request] = flow.requests.get(row.request, 0) + 1
            flow.rows += 1
            heapq.heappush(flow.turns, (flow.now + before, next(self._arrivals), row))
            before += row.length_tokens
            self._rows[row] = None
            self._count(row, 1)

    def remove(self, rows: Iterable[R]) -> list[R]:
        """Take `rows` out; those of them that were still waiting."""
        found = [row for row in rows if row in self._rows]
        for row in found:
            del self._rows[row]
            flow = self._flows[row.model, row.priority]
            flow.requests[row.request] -= 1
            flow.rows -= 1
            if not flow.requests[row.request]:
                del flow.requests[row.request]
            if not flow.requests:
                del self._flows[row.model, row.priority]
                self._debts[row.model, row.priority] = flow.served
            elif len(flow.turns) > 2 * flow.rows + PLAN_AHEAD_ROWS:  # most of them have left
                flow.turns = [turn for turn in flow.turns if turn[2] in self._rows]
                heapq.heapify(flow.turns)
            self._count(row, -1)
        return found

    def take(self, *, budget_tokens: int, costs: Mapping[Precision, RunCost]) -> list[R]:
        """The rows that run next, all of one precision; empty if none waits."""
        if not self._rows:
            return []
        flow = min(self._flows.values(), key=lambda flow: (flow.served, flow.priority))
        self._now = max(self._now, flow.served)
        lead = self._whose_turn(flow)
        rows = [lead, *self._next_in_line(lead, budget_tokens)]
        cost = costs[lead.precision]
        plan = plan_batch([row.length_tokens for row in rows], budget_tokens=budget_tokens, cost=cost)
        batch = [rows[i] for i in plan]
        self._charge(batch, cost)
        self.remove(batch)
        return batch

    def _flow(self, model: str, priority: int) -> _Flow[R]:
        """The flow of these rows; a new one has had what others have, or more if it was here a moment ago."""
        flow = self._flows.get((model, priority))
        if flow is None:
            self._debts = {key: served for key, served in self._debts.items() if served > self._now}
            served = max(self._now, self._debts.pop((model, priority), 0.0))
            flow = self._flows[model, priority] = _Flow(priority, served)
        return flow

    def _whose_turn(self, flow: _Flow[R]) -> R:
        while flow.turns[0][2] not in self._rows:
            heapq.heappop(flow.turns)
        return flow.turns[0][2]

    def _next_in_line(self, lead: R, budget_tokens: int) -> Iterator[R]:
        """Who may ride along with `lead`: rows of its precision, oldest first."""
        seen = 0
        of_request: Counter[Hashable] = Counter()
        for row in islice(self._rows, PLAN_AHEAD_ROWS):
            if row is lead or row.precision != lead.precision or of_request[row.request] >= budget_tokens:
                continue
            yield row
            of_request[row.request] += row.length_tokens
            seen += row.length_tokens
            if seen >= PLAN_AHEAD_BATCHES * budget_tokens:
                return

    def _charge(self, batch: Sequence[R], cost: RunCost) -> None:
        """Each row bears its share of what the batch costs, padding and overhead included."""
        longest = max(row.length_tokens for row in batch)
        for row in batch:
            flow = self._flows[row.model, row.priority]
            own = cost.overhead_tokens / len(batch) + row.length_tokens + cost.padding(row.length_tokens, 1, longest)
            flow.served += own / _WEIGHTS[flow.priority]
            flow.now += own / len(flow.requests)

    def _count(self, row: R, sign: int) -> None:
        tokens = sign * row.length_tokens
        before = self._of_request.get(row.request, _NOTHING)
        after = _Held(before.tokens + tokens, max(before.longest, row.length_tokens))
        ahead = after.ahead - before.ahead
        self.tokens += tokens
        self._ahead += ahead
        if after.tokens:
            self._of_request[row.request] = after
        else:
            del self._of_request[row.request]
        _change(self._by_model, row.model, tokens)
        _change(self._ahead_by_model, row.model, ahead)


def _change(tokens: dict[K, int], key: K, by: int) -> None:
    """What has nothing is not kept."""
    tokens[key] = tokens.get(key, 0) + by
    if not tokens[key]:
        del tokens[key]
