"""What happens on a node from event to event, as functions over its fields.

There is only this one copy of the physics: interpreted the functions work on ``events.Node`` and ``Job``
objects, compiled (``planner.compiled``) on rows of arrays with the same field names. So they keep to what
both can do: numbers, fields and indices. Queues are chains through ``Job.next``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spillway.slo.hedges import ONE
from spillway.slo.pace import CHUNK_TOKENS
from spillway.slo.turns import MOST_COMPARED, may_go, next_up

if TYPE_CHECKING:
    from spillway.planner.events import Job, Node, Tables

__all__ = [
    "ANSWERED", "LEFT", "NONE", "OVERTAKEN", "OVERTAKEN_WAITING", "UNKNOWN", "admit", "advance", "alarm",
    "blend", "count_late", "decode_step_s", "drop_reading", "ends_before", "enqueue", "finish", "flow",
    "free_slot", "hand_out", "last_sent", "link", "move_up", "next_waiting", "note_read", "overtaken_s",
    "plan", "pop", "push", "read", "start_reading", "step", "submit", "unlink", "unread", "unread_chunks",
    "unread_s", "unread_tokens", "whose_turn", "wind", "wind_reading", "write",
]  # fmt: skip

LEARNING_RATE = 0.1
"""Weight of the newest answer in the typical times; the gateway's fleet learns at the same rate."""
NONE = -1
"""No request."""
UNKNOWN = -1.0
"""No time yet."""
ANSWERED, LEFT, OVERTAKEN_WAITING, OVERTAKEN = range(4)
"""How a request ended on the node: answered, gone from the queue in time for a cloud, or a cloud that had
been asked too spoke first, while it waited or while its prompt was read."""


def decode_step_s(steps_s: list[float], context_s: float, batch: int, context_tokens: float) -> float:
    """Seconds of a step of ``batch`` sequences with that mean context."""
    return steps_s[batch] + context_s * batch * context_tokens


def unread(node: Node) -> int:
    """Requests without a first token."""
    return node.queued + node.reading_count


def unread_s(node: Node) -> float:
    """Seconds of reading owed to them."""
    return node.queued_s + max(node.left_s, 0.0) if node.reading >= 0 else node.queued_s


def unread_chunks(node: Node) -> float:
    """Passes over the weights that reading will take."""
    if node.reading < 0 or node.chunk_s <= 0.0:
        return node.queued_chunks
    return node.queued_chunks + max(node.left_s, 0.0) / node.chunk_s


def unread_tokens(node: Node) -> float:
    """Prompt tokens of those that have no first token yet."""
    return node.queued_tokens + node.reading_tokens if node.reading >= 0 else node.queued_tokens


def submit(node: Node, tables: Tables, i: int) -> None:
    """Request ``i`` comes, from outside or from another node's queue; the node is advanced to that moment."""
    job = tables.jobs[i]
    flow(node, job.arrived_s)
    node.in_flight += 1
    job.sharers = max(job.sharers, node.in_flight)
    enqueue(node, tables, i)
    node.timer_s = min(node.timer_s, job.leaves_s, job.hedge_s, overtaken_s(job))
    node.next_s = min(node.next_s, node.timer_s)
    if node.taken < node.slots and admit(node, tables):
        plan(node, tables)


def enqueue(node: Node, tables: Tables, i: int) -> None:
    """Request ``i`` waits behind the others, or before all who may be overtaken if it may not be itself."""
    job = tables.jobs[i]
    before, behind = node.tail, NONE
    if node.waiting and job.yields_s <= 0.0 and tables.jobs[node.tail].yields_s > 0.0:
        before, behind = last_sent(node, tables), node.first_waiting
        while tables.jobs[behind].yields_s <= 0.0:
            before, behind = behind, tables.jobs[behind].next
    link(node, tables, before, i, behind)
    if not node.waiting or behind == node.first_waiting:
        node.first_waiting = i
    node.queued += 1
    node.waiting += 1
    node.queued_s += job.prefill_s
    node.queued_chunks += job.chunks
    node.queued_tokens += job.prompt_tokens


def link(node: Node, tables: Tables, before: int, i: int, behind: int) -> None:
    """Request ``i`` stands between these two in the queue; ``NONE`` is an end of it."""
    tables.jobs[i].next = behind
    if node.queued and before != NONE:
        tables.jobs[before].next = i
    else:
        node.head = i
    if behind == NONE:
        node.tail = i


def last_sent(node: Node, tables: Tables) -> int:
    """The last of the unread prompts that were sent; ``NONE`` when there is none."""
    before, i = NONE, node.head
    for _ in range(node.queued - node.waiting):
        before, i = i, tables.jobs[i].next
    return before


def advance(node: Node, tables: Tables, now_s: float) -> None:
    """Everything has happened that happens up to and including ``now_s``."""
    while node.next_s <= now_s:
        step(node, tables)


def step(node: Node, tables: Tables) -> None:
    """The node's next event has happened; what it does by itself comes before what others decide."""
    flow(node, node.next_s)
    if node.timer_s < node.event_s:
        alarm(node, tables)
    elif node.reading >= 0 and node.is_read_due:
        read(node, tables)
    else:
        write(node, tables)
    admit(node, tables)
    plan(node, tables)


def flow(node: Node, now_s: float) -> None:
    """Time has passed without an event."""
    passed_s = now_s - node.now_s
    if passed_s > 0.0:
        if node.in_flight:
            node.busy_s += passed_s
            node.area_s += passed_s * node.in_flight
            node.tokens += passed_s * node.token_rate
            node.left_s -= passed_s * node.read_rate
        node.now_s = now_s


def admit(node: Node, tables: Tables) -> bool:
    """Waiting requests have moved into free slots, as far as cache and turns allow; whether any moved."""
    has_moved = False
    while node.waiting and node.taken < node.slots:
        place = next_waiting(node, tables)
        if place == NONE:
            break
        if place:
            move_up(node, tables, place)
        job = tables.jobs[node.first_waiting]
        job.yields_s = 0.0  # nobody overtakes what the engine has, even if its cache has no room yet
        needed = job.prompt_tokens + job.output_tokens
        if node.cache_used + needed > node.cache_tokens and node.taken:
            break
        node.sent_s += job.prefill_s
        node.first_waiting = job.next
        node.waiting -= 1
        node.taken += 1
        node.cache_used += needed
        has_moved = True
    if node.reading < 0 and node.queued > node.waiting:
        start_reading(node, tables)
    return has_moved


def next_waiting(node: Node, tables: Tables) -> int:
    """Who is sent next, as a place among those who wait; ``NONE`` while other prompts have to be read."""
    if not may_go(tables.jobs[node.first_waiting].yields_s, node.sent_s, 0.0):
        return NONE
    place, i = whose_turn(node, tables, node.now_s), node.first_waiting
    for _ in range(place):
        i = tables.jobs[i].next
    return place if may_go(tables.jobs[i].yields_s, node.sent_s, tables.jobs[i].prefill_s) else NONE


def whose_turn(node: Node, tables: Tables, now_s: float) -> int:
    """Who is served next, as a place among those who wait."""
    i, count = node.first_waiting, min(node.waiting, MOST_COMPARED)
    if tables.jobs[i].yields_s <= 0.0 or count == 1:
        return 0
    for k in range(count):
        job = tables.jobs[i]
        tables.yields_s[k], tables.leaves_s[k] = job.yields_s, job.leaves_s
        i = job.next
    return next_up(now_s, tables.yields_s, tables.leaves_s, count, tables.is_passed)


def move_up(node: Node, tables: Tables, place: int) -> None:
    """Who waits at that place, not the first, waits at the first one now."""
    before = node.first_waiting
    for _ in range(place - 1):
        before = tables.jobs[before].next
    i = tables.jobs[before].next
    tables.jobs[before].next = tables.jobs[i].next
    if i == node.tail:
        node.tail = before
    link(node, tables, last_sent(node, tables), i, node.first_waiting)
    node.first_waiting = i


def start_reading(node: Node, tables: Tables) -> None:
    """The first prompt of the queue is being read, and with it those that were sent and fit into its pass."""
    node.reading, node.reading_tokens, node.left_s = node.head, 0, 0.0
    chunks = tables.jobs[node.head].chunks
    room, sent = CHUNK_TOKENS, node.queued - node.waiting
    while node.reading_count < sent:
        job = tables.jobs[node.head]
        room -= max(job.prompt_tokens - job.cached_tokens, 1)
        if node.reading_count and room < 0:
            break
        node.left_s += job.prefill_s - node.pass_s if node.reading_count else job.prefill_s
        node.reading_tokens += job.prompt_tokens
        node.reading_count += 1
        node.head = job.next
        node.queued -= 1
        node.queued_chunks -= job.chunks
        node.queued_tokens -= job.prompt_tokens
        node.queued_s = node.queued_s - job.prefill_s if node.queued else 0.0  # no rounding is carried on
    node.chunk_s = node.left_s / chunks


def read(node: Node, tables: Tables) -> None:
    """The prompts of a pass have been read: their first tokens are out."""
    i, count = node.reading, node.reading_count
    node.reading, node.reading_count = NONE, 0
    for _ in range(count):
        job = tables.jobs[i]
        job.first_s = node.now_s
        note_read(node, job)
        if job.output_tokens <= 1:
            finish(node, tables, i)
        else:
            node.context += job.prompt_tokens + job.output_tokens / 2
            push(node, tables, node.tokens + job.output_tokens - 1, i)
        i = job.next


def note_read(node: Node, job: Job) -> None:
    """A prompt that was sent need not be read any more."""
    is_last = node.reading < 0 and node.queued == node.waiting
    node.sent_s = 0.0 if is_last else node.sent_s - job.prefill_s  # no rounding is carried on


def write(node: Node, tables: Tables) -> None:
    """The sequence that is due has its last token, and so have those that end with it.

    The first is taken whatever the token clock shows: after rounding it may be a hair behind.
    """
    due = max(tables.due[node.base], node.tokens)
    while node.running and tables.due[node.base] <= due + 1e-9:
        i = pop(node, tables)
        job = tables.jobs[i]
        node.context -= job.prompt_tokens + job.output_tokens / 2
        finish(node, tables, i)


def finish(node: Node, tables: Tables, i: int) -> None:
    """Request ``i`` has ended and waits for its times to be fetched."""
    job = tables.jobs[i]
    free_slot(node, job)
    if job.sharers <= node.slots:  # one that queued says nothing of the node: the fleet's rule
        node.usual_service_s = blend(node.usual_service_s, node.now_s - job.arrived_s)
        node.usual_first_s = blend(node.usual_first_s, job.first_s - job.arrived_s)
    hand_out(node, tables, i)
    if not node.running:
        node.context = 0.0
        node.tokens = 0.0  # the clock may start afresh: keeps its precision for ever


def free_slot(node: Node, job: Job) -> None:
    """Its slot and its part of the cache are somebody else's."""
    node.taken -= 1
    node.cache_used -= job.prompt_tokens + job.output_tokens


def hand_out(node: Node, tables: Tables, i: int) -> None:
    """Request ``i`` is over; somebody fetches it."""
    tables.jobs[i].end_s = node.now_s
    node.in_flight -= 1
    if node.done:
        tables.jobs[node.last_done].next_done = i
    else:
        node.first_done = i
    node.last_done = i
    node.done += 1


def alarm(node: Node, tables: Tables) -> None:
    """Somebody's time is up: to leave the queue, to ask a cloud too, or to be overtaken by it."""
    reading_timer_s = wind_reading(node, tables)
    before, i, is_waiting, is_held = NONE, node.head, False, False
    sent, unread_s = node.taken, node.sent_s
    timer_s = math.inf
    for _ in range(node.queued):
        is_waiting = is_waiting or (node.waiting > 0 and i == node.first_waiting)
        job = tables.jobs[i]
        if is_waiting:
            is_held = is_held or sent >= node.slots or not may_go(job.yields_s, unread_s, job.prefill_s)
        behind = job.next
        if wind(node, tables, i, is_held) == ANSWERED:
            timer_s = min(timer_s, job.leaves_s, job.hedge_s, overtaken_s(job))
            before = i
            if is_waiting:
                sent += 1
                unread_s += job.prefill_s
        else:
            unlink(node, tables, before, i, is_waiting)
            hand_out(node, tables, i)
            if not is_waiting:
                sent, unread_s = node.taken, node.sent_s
        i = behind
    node.timer_s = min(timer_s, reading_timer_s)


def wind_reading(node: Node, tables: Tables) -> float:
    """Those being read whom a cloud overtook are given up; when the next of them may be."""
    before, i, timer_s = NONE, node.reading, math.inf
    for _ in range(node.reading_count):
        job = tables.jobs[i]
        behind = job.next
        if wind(node, tables, i, False) == ANSWERED:
            timer_s = min(timer_s, job.hedge_s, overtaken_s(job))
            before = i
        else:
            drop_reading(node, tables, before, i)
        i = behind
    return timer_s


def wind(node: Node, tables: Tables, i: int, is_held: bool) -> int:
    """What has become of request ``i`` by now, which has no first token.

    ``is_held`` where the gateway holds it back, since the node has as many requests as slots, or a prompt to
    read first; one that only lacks room in the cache has been sent.
    """
    job, now_s = tables.jobs[i], node.now_s
    if job.hedge_s <= now_s:
        job.hedge_s = math.inf
        if tables.hedges[0] >= ONE:
            tables.hedges[0] -= 1.0
            job.asked_s = now_s
    if overtaken_s(job) <= now_s:
        job.fate = OVERTAKEN_WAITING if is_held else OVERTAKEN
    elif is_held and job.leaves_s <= now_s:
        job.fate = LEFT
        if job.asked_s < 0.0:
            job.asked_s = now_s
    elif job.leaves_s <= now_s:
        job.leaves_s = math.inf  # it had been sent in time
    return job.fate


def overtaken_s(job: Job) -> float:
    """When a cloud that was asked too will speak; never where none was."""
    return job.asked_s + job.cloud_s if job.asked_s >= 0.0 else math.inf


def drop_reading(node: Node, tables: Tables, before: int, i: int) -> None:
    """Request ``i``, being read behind ``before``, is given up; its pass ends if it was the only one."""
    job = tables.jobs[i]
    node.reading_count -= 1
    node.reading_tokens -= job.prompt_tokens
    if before != NONE:
        tables.jobs[before].next = job.next
    else:
        node.reading = job.next if node.reading_count else NONE
    if not node.reading_count:
        node.left_s = 0.0
    note_read(node, job)
    free_slot(node, job)
    hand_out(node, tables, i)


def unlink(node: Node, tables: Tables, before: int, i: int, is_waiting: bool) -> None:
    """Request ``i``, behind ``before``, is gone from the queue."""
    job = tables.jobs[i]
    if before == NONE:
        node.head = job.next
    else:
        tables.jobs[before].next = job.next
    if i == node.tail:
        node.tail = before
    if is_waiting:
        node.waiting -= 1
        if i == node.first_waiting:
            node.first_waiting = job.next
    else:
        free_slot(node, job)
    node.queued -= 1
    if not is_waiting:
        note_read(node, job)
    node.queued_chunks -= job.chunks
    node.queued_tokens -= job.prompt_tokens
    node.queued_s = node.queued_s - job.prefill_s if node.queued else 0.0


def plan(node: Node, tables: Tables) -> None:
    """The common pace and the next event follow from what runs now."""
    n = node.running
    step_s = tables.steps_s[n] + node.context_s * node.context if n else 0.0
    left = tables.due[node.base] - node.tokens if n else 0.0
    node.is_read_due = False
    due_s = left * step_s if n else math.inf
    if node.reading < 0:
        node.read_rate = 0.0
        node.token_rate = 1.0 / step_s if n else 0.0
    elif node.left_s <= 0.0:
        due_s = 0.0
        node.is_read_due = True
    else:
        cycle_s = step_s + node.chunk_s
        node.read_rate = node.chunk_s / cycle_s
        node.token_rate = 1.0 / cycle_s if n else 0.0
        due_s = left * cycle_s if n else math.inf
        read_s = node.left_s / node.read_rate
        if read_s <= due_s:
            due_s = read_s
            node.is_read_due = True
    node.event_s = node.now_s + max(due_s, 0.0)
    node.next_s = min(node.event_s, node.timer_s)


def count_late(twin: Node, tables: Tables, ttft_s: float, total_s: float, most: int, marks: bool) -> int:
    """How many on the node would newly miss a limit if nothing more came; counting stops above ``most``.

    ``twin`` is played to its end. With ``marks`` those that miss are remembered as lost.
    """
    late = 0
    twin.done = 0
    while twin.in_flight and late <= most:
        step(twin, tables)
        while twin.done:
            job = tables.jobs[twin.first_done]
            twin.first_done = job.next_done
            twin.done -= 1
            is_late = job.first_s - job.arrived_s > ttft_s or job.end_s - job.arrived_s > total_s
            if is_late and not job.is_lost:
                late += 1
                job.is_lost = marks
    return late


def blend(known_s: float, new_s: float) -> float:
    """A typical time after one more."""
    return new_s if known_s < 0.0 else known_s + LEARNING_RATE * (new_s - known_s)


def push(node: Node, tables: Tables, due: float, i: int) -> None:
    """Request ``i`` runs until the token clock shows ``due``; equal clocks end in order of arrival."""
    place = node.running
    node.running += 1
    while place:
        above = (place - 1) >> 1
        other, other_due = tables.who[node.base + above], tables.due[node.base + above]
        if other_due < due or (other_due == due and other < i):
            break
        tables.due[node.base + place], tables.who[node.base + place] = other_due, other
        place = above
    tables.due[node.base + place], tables.who[node.base + place] = due, i


def pop(node: Node, tables: Tables) -> int:
    """The request that ends first, taken off the heap."""
    first = tables.who[node.base]
    node.running -= 1
    size = node.running
    due, i = tables.due[node.base + size], tables.who[node.base + size]
    place, below = 0, 1
    while below < size:
        if below + 1 < size and ends_before(node, tables, below + 1, below):
            below += 1
        other, other_due = tables.who[node.base + below], tables.due[node.base + below]
        if due < other_due or (due == other_due and i < other):
            break
        tables.due[node.base + place], tables.who[node.base + place] = other_due, other
        place, below = below, 2 * below + 1
    tables.due[node.base + place], tables.who[node.base + place] = due, i
    return first


def ends_before(node: Node, tables: Tables, a: int, b: int) -> bool:
    """Whether heap entry ``a`` ends before ``b``."""
    a_due, b_due = tables.due[node.base + a], tables.due[node.base + b]
    return a_due < b_due or (a_due == b_due and tables.who[node.base + a] < tables.who[node.base + b])
