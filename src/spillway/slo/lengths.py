"""How long answers get: a regression on what is known before, times what each kind of request adds.

The functions run interpreted, on lists, and compiled in the planner's simulator, on arrays, to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, NamedTuple

from spillway.vocabulary import RequestFacts

__all__ = [
    "MOST_FORMS", "NO_FORM", "Learned", "Lengths", "OutputLengths", "Prompt", "describe", "expected",
    "half_octaves", "learn_answer", "octaves",
]  # fmt: skip

Values = Any
"""Numbers: a list when interpreted, an array when compiled."""

USUAL_TOKENS, LONG_TOKENS = 200.0, 400.0
"""Assumed before the first answers (guess)."""
MOST_TOKENS = 1e6
INPUTS = 6
TYPICAL_PROMPT, TYPICAL_REST, SPAN = math.log(1000.0), math.log(150.0), 5.0
"""Logarithms are counted from here and in spans of so many, so that one ridge suits them all."""
MEMORY, KIND_MEMORY = 0.999, 0.995
"""What the past still weighs after one more answer: in the regression, and in a kind's own average."""
RIDGE = 1.0
"""Holds every weight near 0 as firmly as one answer would. It never fades, so that the sums can be solved for
the weights after any traffic, even a day of equal prompts."""
FEW = 10.0
"""With so many answers a kind is believed as much as the wider one that it belongs to."""
FEW_OF_A_FORM = 3.0
"""The same of a kind with a form, its answers being more alike (chosen on traces; 10 do nearly as well)."""
MOST_OFF = 3.0
"""An answer e³ times as long as the regression says, and one still longer, teach it the same."""
MOST_RATIO = 10.0
"""A longer answer than so many usual ones counts as so many."""
SOLVED_EACH, SOLVED_EVERY, SURPRISE = 64.0, 8.0, 1.0
"""Answers up to which each one changes the weights; from there on every eighth does, and each that is e times
as long as the regression says, or as short."""
LONG_SHARE = 0.8
STEP, FIRST_STEP, FIRST_ANSWERS = 0.02, 0.1, 20.0
"""Of the search for a long answer, as in ``slo.margin``."""
MOST_KINDS = 4000
REST = 0
"""Place of all kinds that came when there were enough."""
MOST_FORMS = 4000
"""Kinds with a form; the one that was not learned from for longest makes room for a new one."""
NO_FORM = -1
"""Place of a request whose form is unknown or new."""


class Lengths(NamedTuple):
    """Tokens of a usual answer (a mean), and a length that one in five exceeds."""

    usual: float
    long: float


class Prompt(NamedTuple):
    """What tells the length of an answer before it comes.

    Earlier answers are those of the same conversation; ``None`` or 0 when there is none.
    """

    tokens: int
    cached_tokens: float = 0.0
    last_answer_tokens: float | None = None
    mean_answer_tokens: float | None = None
    """Geometric mean of the conversation's answers so far."""
    task: str | None = None
    form: int | None = None
    """Requests of one making share it: ``RequestFacts.form``."""

    @classmethod
    def of(cls, facts: RequestFacts) -> Prompt:
        """What ``facts`` tell."""
        return cls(
            facts.input_tokens,
            max((tokens for _, tokens in facts.cached_on), default=facts.cached_tokens),
            facts.last_answer_tokens,
            facts.mean_answer_tokens,
            facts.task,
            facts.form,
        )


class Learned:
    """All that answers have taught, for so many kinds; compiled, a row of an array with the same fields.

    Matrices are flat, row after row, and used up to the diagonal.
    """

    def __init__(self, kinds: int) -> None:
        self.inputs: Values = [0.0] * INPUTS
        """Of the request that was described last."""
        self.products: Values = [RIDGE if i % (INPUTS + 1) == 0 else 0.0 for i in range(INPUTS * INPUTS)]
        """Sums of products of inputs, the ridge included."""
        self.root: Values = [0.0] * (INPUTS * INPUTS)
        """Their Cholesky factor, as of the last solution."""
        self.moments: Values = [0.0] * INPUTS
        """Sums of inputs times logarithms of answers over ``USUAL_TOKENS``."""
        self.weights: Values = [0.0] * INPUTS
        self.answers = 0.0
        # by kind
        self.ratios: Values = []
        """Sum of answers over what the regression said, the recent counting most."""
        self.answers_of: Values = []
        """How many answers that sum stands for."""
        self.long_ratio: Values = []
        """Of a widest kind: what one in five of the answers over the usual one exceeds."""
        self.add_kinds(kinds)

    def add_kinds(self, count: int) -> None:
        """There is room for so many more."""
        self.ratios += [0.0] * count
        self.answers_of += [0.0] * count
        self.long_ratio += [LONG_TOKENS / USUAL_TOKENS] * count

    def forget(self, kind: int) -> None:
        """Nothing is known of that kind any more."""
        self.ratios[kind] = self.answers_of[kind] = 0.0


# what a request is like


def describe(record: Learned, tokens: float, cached: float, last: float, mean: float) -> None:
    """``record.inputs`` are those of a prompt after such answers; 0 stands for none."""
    inputs, has_last = record.inputs, last > 0.0
    inputs[0] = 1.0
    inputs[1] = (_log(tokens) - TYPICAL_PROMPT) / SPAN
    inputs[2] = (_log(tokens - cached) - TYPICAL_REST) / SPAN
    inputs[3] = (_log(last) - TYPICAL_REST) / SPAN if has_last else 0.0
    inputs[4] = (_log(mean) - TYPICAL_REST) / SPAN if has_last else 0.0
    inputs[5] = 0.0 if has_last else 1.0


def _log(tokens: float) -> float:
    """The logarithm of a count, which is taken to be 1 to a million; of what is no number, that of 1."""
    return math.log(min(max(1.0, tokens), MOST_TOKENS))


def octaves(tokens: int) -> int:
    """How often a count doubled from 1."""
    count = 0
    while tokens >> (count + 1):
        count += 1
    return count


def half_octaves(tokens: int) -> int:
    """The same in steps of the square root of 2."""
    whole = octaves(tokens)
    return 2 * whole + (1 if tokens * tokens >= 1 << (2 * whole + 1) else 0)


# what to expect


def expected(record: Learned, wide: int, middle: int, narrow: int, form: int) -> tuple[float, float]:
    """A usual and a long answer to what was described, which is of these kinds."""
    usual = _usual(record, wide, middle, narrow, form)
    long = usual * record.long_ratio[wide]
    return min(max(usual, 1.0), MOST_TOKENS), min(max(long, 1.0), MOST_TOKENS)


def _usual(record: Learned, wide: int, middle: int, narrow: int, form: int) -> float:
    """The mean of such answers."""
    factor = _factor(record, narrow, FEW, _factor(record, middle, FEW, _factor(record, wide, FEW, 1.0)))
    if form != NO_FORM and record.answers_of[form] > 0.0:
        factor = _factor(record, form, FEW_OF_A_FORM, factor)
    return _tokens(_regressed(record)) * factor


def _factor(record: Learned, kind: int, few: float, wider: float) -> float:
    """Mean ratio of a kind's answers to what the regression says: its own, and the wider one's while few."""
    found: float = (record.ratios[kind] + few * wider) / (record.answers_of[kind] + few)
    return found


def _regressed(record: Learned) -> float:
    """Logarithm of the answer's tokens as the regression says it."""
    inputs, weights = record.inputs, record.weights
    total: float = math.log(USUAL_TOKENS)
    for i in range(INPUTS):
        total += inputs[i] * weights[i]
    return total


def _tokens(logarithm: float) -> float:
    """The count of that logarithm, 1 to a million."""
    return math.exp(min(max(logarithm, 0.0), math.log(MOST_TOKENS)))


# what an answer teaches


def learn_answer(record: Learned, wide: int, middle: int, narrow: int, form: int, tokens: float) -> None:
    """The answer to what was described, which is of these kinds, ended with so many tokens.

    The regression learns first: kinds and long answers are measured against what it says afterwards, or the
    first answers would count twice.
    """
    seen, foreseen = _log(tokens), _regressed(record)
    off = min(max(seen - foreseen, -MOST_OFF), MOST_OFF)
    _learn_pair(record, foreseen + off - math.log(USUAL_TOKENS))
    if abs(off) >= SURPRISE or record.answers <= SOLVED_EACH or record.answers % SOLVED_EVERY == 0.0:
        _solve(record)
    usual = _usual(record, wide, middle, narrow, form)
    ratio = min(math.exp(seen), MOST_RATIO * usual) / _tokens(_regressed(record))
    for kind in (wide, middle, narrow, form):
        if kind != NO_FORM:
            record.ratios[kind] = KIND_MEMORY * record.ratios[kind] + ratio
            record.answers_of[kind] = KIND_MEMORY * record.answers_of[kind] + 1.0
    _learn_long(record, wide, math.exp(seen) / usual)


def _learn_long(record: Learned, kind: int, ratio: float) -> None:
    """One more ratio of an answer to the usual one; a fifth of them come to lie above ``long_ratio``."""
    step = STEP + FIRST_STEP / (1.0 + record.answers_of[kind] / FIRST_ANSWERS)
    factor = 1.0 - step * (1.0 - LONG_SHARE) if ratio <= record.long_ratio[kind] else 1.0 + step * LONG_SHARE
    record.long_ratio[kind] = min(max(record.long_ratio[kind] * factor, 1.0 / MOST_RATIO), MOST_RATIO)


def _learn_pair(record: Learned, value: float) -> None:
    """One more pair of inputs and value is in the sums; old ones fade, the ridge does not."""
    inputs, products, moments = record.inputs, record.products, record.moments
    for i in range(INPUTS):
        one, row = inputs[i], i * INPUTS
        moments[i] = MEMORY * moments[i] + one * value
        for j in range(i + 1):
            products[row + j] = MEMORY * products[row + j] + one * inputs[j]
        products[row + i] += (1.0 - MEMORY) * RIDGE
    record.answers += 1.0


def _solve(record: Learned) -> None:
    """The weights that fit the sums best, by Cholesky's method."""
    products, root, weights = record.products, record.root, record.weights
    for i in range(INPUTS):
        row = i * INPUTS
        total = record.moments[i]
        for j in range(i + 1):
            left = products[row + j]
            for k in range(j):
                left -= root[row + k] * root[j * INPUTS + k]
            root[row + j] = math.sqrt(left) if i == j else left / root[j * INPUTS + j]
        for k in range(i):
            total -= root[row + k] * weights[k]
        weights[i] = total / root[row + i]
    for i in range(INPUTS - 1, -1, -1):
        total = weights[i]
        for k in range(i + 1, INPUTS):
            total -= root[k * INPUTS + i] * weights[k]
        weights[i] = total / root[i * INPUTS + i]


class OutputLengths:
    """Answer lengths of the recent past, by all that a ``Prompt`` tells.

    Agents write as they wrote before: a conversation's own answers tell more of the next one than its size
    does. Kinds (the task class; it with the size of the prompt in half octaves; both with what of the prompt
    is new in octaves; all that with the prompt's form) add what is not log-linear.
    """

    def __init__(self) -> None:
        self._record = Learned(REST + 1)
        self._places: dict[Hashable, int] = {}
        self._forms: dict[Hashable, int] = {}
        """Places of kinds with a form; the one learned from last is the last."""

    def learn(self, prompt: Prompt, tokens: float) -> None:
        """One more answer ended, to such a prompt."""
        kinds = self._described(prompt)
        form = NO_FORM if prompt.form is None else self._form_to_learn((*kinds, prompt.form))
        learn_answer(self._record, *kinds, form, tokens)

    def expect(self, prompt: Prompt, max_tokens: int | None = None) -> Lengths:
        """What the answer to such a prompt may take; never above ``max_tokens``."""
        kinds = self._described(prompt)
        form = self._forms.get((*kinds, prompt.form), NO_FORM)
        usual, long = expected(self._record, *kinds, form)
        if max_tokens is None:
            return Lengths(usual, long)
        return Lengths(min(usual, max_tokens), min(long, max_tokens))

    def _described(self, prompt: Prompt) -> tuple[int, int, int]:
        """Places of the prompt's kinds, from wide to narrow; its inputs are in the record."""
        tokens, cached, last, mean, task, _ = prompt
        describe(self._record, tokens, cached, last or 0.0, mean or 0.0)
        size, fresh = half_octaves(max(tokens, 1)), octaves(max(tokens - int(cached), 1))
        return self._place(task), self._place((task, size)), self._place((task, size, fresh))

    def _place(self, kind: Hashable) -> int:
        place = self._places.get(kind)
        if place is None:
            if len(self._places) == MOST_KINDS:
                return REST
            place = self._places[kind] = self._new_place()
        return place

    def _form_to_learn(self, kind: Hashable) -> int:
        """The place of a kind with a form, which is now the last to be given up."""
        place = self._forms.pop(kind, None)
        if place is None and len(self._forms) < MOST_FORMS:
            place = self._new_place()
        elif place is None:
            place = self._forms.pop(next(iter(self._forms)))
            self._record.forget(place)
        self._forms[kind] = place
        return place

    def _new_place(self) -> int:
        self._record.add_kinds(1)
        return len(self._record.ratios) - 1
