"""Canaries: what they ask, what a lock keeps of the answers, and noise told from drift."""

from __future__ import annotations

import random

import msgspec
import pytest

from spillway.classify import TASKS
from spillway.engines.told import sha256_of
from spillway.pinning.answers import Answer, CanaryUnanswered, NodeBusy, passed_checks
from spillway.pinning.canaries import Canary, Check, default_canaries, own_canaries, suited
from spillway.pinning.judge import differs, record_of
from spillway.pinning.lock import LockedModel, Measured
from spillway.pinning.runs import always, by_the_way, certain, measure, recheck

CANARY = Canary(name="c", task="math", prompt="17 + 25?", checks=(Check(contains="42"),))


def said(text: str, *logprobs: float, **more: object) -> Answer:
    """An answer of that text."""
    return Answer(text=text, tokens=sha256_of(text), logprobs=logprobs, **more)  # type: ignore[arg-type]


class Scripted:
    """Answers what it is told to, the last for ever."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def ask(self, canary: Canary, model: str) -> Answer:
        """The next answer."""
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Noisy:
    """A node whose greedy answers differ from run to run, as batching on a GPU makes them."""

    def __init__(
        self,
        seed: int,
        words: str = "the total of seventeen and twenty five is 42 of course",
        share: float = 1.0,
    ) -> None:
        self.random = random.Random(seed)
        self.share = share
        self.words = words.split()

    async def ask(self, canary: Canary, model: str) -> Answer:
        """The words with one or two of them said otherwise."""
        words = list(self.words)
        for _ in range(self.random.randint(0, 2) if self.random.random() < self.share else 0):
            words[self.random.choice((0, 1, 2, 5, 9))] = self.random.choice(("so", "a", "sum", "well"))
        return said(" ".join(words))


def test_the_shipped_set() -> None:
    """Names differ, tasks are classes that exist, and all of them together are short."""
    canaries = default_canaries()
    assert len({canary.name for canary in canaries}) == len(canaries)
    assert {canary.task for canary in canaries} <= {*TASKS, "embedding"}
    assert sum(canary.max_tokens for canary in canaries if canary.operation == "chat") <= 300


def test_a_request_is_greedy_and_streamed() -> None:
    """Greedy, seeded, with log-probabilities; streamed, so that cancelling it frees the node."""
    body = msgspec.json.decode(CANARY.body("m", "llamacpp"))
    assert (body["temperature"], body["stream"], body["logprobs"]) == (0, True, True)
    assert body["cache_prompt"] is False
    assert "cache_prompt" not in msgspec.json.decode(CANARY.body("m", "vllm"))


def test_suited() -> None:
    """Tools are asked of models that have them, embeddings of those that embed."""
    names = {canary.name for canary in suited(default_canaries(), ("chat", "tools"))}
    assert "tool-weather" in names
    assert [c.name for c in suited(default_canaries(), ("embedding",))] == ["embedding-sentence"]
    assert all(canary.needs is None for canary in suited(default_canaries(), None))


def test_own_canaries() -> None:
    """An owner's canary takes the place of a shipped one of its name; the shipped set can be left out."""
    entry = {
        "name": "math-small",
        "task": "math",
        "prompt": "1 + 1?",
        "system": None,
        "max_tokens": 4,
        "contains": "2",
        "json_answer": False,
    }
    both = own_canaries([entry], with_defaults=True)
    assert [canary.prompt for canary in both if canary.name == "math-small"] == ["1 + 1?"]
    assert len(both) == len(default_canaries())
    assert len(own_canaries([entry], with_defaults=False)) == 1


def test_checks() -> None:
    """Each check holds for what it names and for nothing else."""
    cases = [
        (Check(contains="42"), said("it is 42"), said("43")),
        (Check(one_of=("yes", "no")), said("Yes."), said("yes or no")),
        (Check(json=True), said('{"a": 1}'), said("{a}")),
        (Check(max_chars=3), said("abc"), said("abcd")),
        (Check(calls="f"), said("", calls=(("f", "{}"),)), said("", calls=(("f", "{"),))),
    ]
    for check, good, bad in cases:
        assert passed_checks((check,), good) == (check.name,)
        assert passed_checks((check,), bad) == ()


async def test_a_deterministic_node_is_held_to_its_tokens() -> None:
    """Equal runs make an exact record; another token, or another likelihood, is a difference."""
    record = (await measure(Scripted(said("42", -0.1)), "m", [CANARY])).canaries["c"]
    assert (record.kind, record.answer, record.checks) == ("exact", "42", ("contains 42",))
    assert differs(CANARY, record, said("42", -0.1)) is None
    assert differs(CANARY, record, said("42", -0.1004)) is None
    assert differs(CANARY, record, said("42", -0.2)) is not None
    assert differs(CANARY, record, said("43", -0.1)) == ("42", "43")


async def test_jitter_of_likelihoods_is_measured() -> None:
    """A node whose log-probabilities jitter is held to its own jitter, not to none."""
    runs = Scripted(said("42", -0.10), said("42", -0.13), said("42", -0.11))
    record = (await measure(runs, "m", [CANARY])).canaries["c"]
    assert differs(CANARY, record, said("42", -0.18)) is None
    assert differs(CANARY, record, said("42", -0.9)) is not None


async def test_noise_is_no_drift() -> None:
    """A node that answers otherwise each time raises no false alarm in 1,000 checks, over 20 pinnings."""
    alarms = 0
    for seed in range(20):
        node = Noisy(seed, share=1.0 if seed % 2 else 0.1)  # the rare kind looks deterministic when pinned
        record = (await measure(node, "m", [CANARY])).canaries["c"]
        for _ in range(50):
            alarms += (await recheck(node, "m", CANARY, record, always)).change is not None
    assert alarms == 0


async def test_drift_is_seen_through_noise() -> None:
    """Another model behind a noisy node is noticed, by its answers or by a check it fails."""
    record = (await measure(Noisy(1), "m", [CANARY])).canaries["c"]
    other = Noisy(2, "i am sorry but numbers are not what i do best at all today 42")
    wrong = Noisy(2, "the total of seventeen and twenty five is 43 of course")
    for node in (other, wrong):
        assert (await recheck(node, "m", CANARY, record, always)).change is not None


async def test_a_node_that_began_to_vary() -> None:
    """Different answers to the same prompt are noise as long as they are much alike, and drift if not."""
    record = (await measure(Scripted(said("the sum is 42")), "m", [CANARY])).canaries["c"]
    alike = Scripted(said("so the sum is 42"), said("the sum is 42 then"), said("the sum is 42 ."))
    doubt = await recheck(alike, "m", CANARY, record, always)
    assert (doubt.is_noisy, doubt.change) == (True, None)
    unlike = Scripted(said("42 or so"), said("who knows"), said("pardon"))
    assert (await recheck(unlike, "m", CANARY, record, always)).change is not None


async def test_likelihoods_alone_need_company() -> None:
    """One canary whose tokens are the same but less likely is a stranger in the batch; a third of all is a
    change, and so is a single other answer."""
    record = (await measure(Scripted(said("42", -0.1)), "m", [CANARY])).canaries["c"]
    faint = await recheck(Scripted(said("42", -0.2)), "m", CANARY, record, always)
    plain = await recheck(Scripted(said("43", -0.1)), "m", CANARY, record, always)
    same = await recheck(Scripted(said("42", -0.1)), "m", CANARY, record, always)
    assert (faint.is_faint, plain.is_faint) == (True, False)
    assert certain([faint] + [same] * 8, 9) == []
    assert len(certain([faint] * 3 + [same] * 6, 9)) == 3
    assert len(certain([faint], 1)) == 1
    assert len(certain([plain] + [same] * 8, 9)) == 1
    assert len(certain([plain, faint, faint], 9)) == 3


async def test_jumping_likelihoods_are_noise() -> None:
    """Tries whose likelihoods differ among themselves say nothing of the weights."""
    record = (await measure(Scripted(said("42", -0.1)), "m", [CANARY])).canaries["c"]
    jumping = Scripted(said("42", -0.2), said("42", -0.3), said("42", -0.2))
    doubt = await recheck(jumping, "m", CANARY, record, always)
    assert (doubt.is_noisy, doubt.change) == (True, None)


async def test_a_difference_must_repeat() -> None:
    """One odd answer of a node that was deterministic when pinned is asked again before it counts."""
    record = (await measure(Scripted(said("42")), "m", [CANARY])).canaries["c"]
    once = await recheck(Scripted(said("41"), said("42")), "m", CANARY, record, always)
    assert (once.change, once.runs) == (None, 2)
    lasting = Scripted(said("41"))
    doubt = await recheck(lasting, "m", CANARY, record, always)
    assert doubt.change is not None
    assert (doubt.change.before, doubt.change.after) == ("c: 42", "41")
    assert lasting.asked == 3


async def test_a_refusal_counts_and_an_absence_does_not() -> None:
    """A node that refuses what it used to answer has drifted; one that is away tells nothing."""
    record = (await measure(Scripted(said("42")), "m", [CANARY])).canaries["c"]
    refusing = Scripted(CanaryUnanswered("status 400: no tools", is_refusal=True))
    doubt = await recheck(refusing, "m", CANARY, record, always)
    assert doubt.change is not None
    assert "refused" in doubt.change.after
    with pytest.raises(CanaryUnanswered):
        await recheck(Scripted(CanaryUnanswered("connection refused")), "m", CANARY, record, always)


async def test_measuring_leaves_out_what_is_refused() -> None:
    """A canary the model cannot answer is not pinned; a node that goes away pins nothing."""
    refused = CanaryUnanswered("status 400", is_refusal=True)
    assert (await measure(Scripted(refused), "m", [CANARY])).canaries == {}
    with pytest.raises(CanaryUnanswered):
        await measure(Scripted(said("42"), CanaryUnanswered("cut")), "m", [CANARY])


async def test_a_record_that_fits_is_kept() -> None:
    """Pinning again changes a record only where the answers differ from it."""
    first = await measure(Scripted(said("42", -0.1)), "m", [CANARY])
    again = await measure(Scripted(said("42", -0.1002)), "m", [CANARY], kept=first)
    assert again.canaries == first.canaries
    other = await measure(Scripted(said("43", -0.1)), "m", [CANARY], kept=first)
    assert other.canaries["c"].answer == "43"


async def test_a_changed_question_is_void() -> None:
    """A canary that asks something else than when it was pinned is not compared."""
    record = (await measure(Scripted(said("42")), "m", [CANARY])).canaries["c"]
    other = msgspec.structs.replace(CANARY, prompt="2 + 2?")
    node = Scripted(said("4"))
    doubt = await recheck(node, "m", other, record, always)
    assert (doubt.is_void, doubt.change, node.asked) == (True, None, 0)


async def test_a_busy_node_is_left_alone() -> None:
    """Nothing is asked of a node that somebody needs."""
    record = (await measure(Scripted(said("42")), "m", [CANARY])).canaries["c"]
    node = Scripted(said("42"))

    async def never() -> bool:
        return False

    with pytest.raises(NodeBusy):
        await recheck(node, "m", CANARY, record, never)
    assert node.asked == 0


def test_vectors() -> None:
    """An embedding is held to its sketch, within the spread of the node's own runs."""
    canary = Canary(name="e", task="embedding", prompt="x")
    runs = [Answer(text="", tokens=str(i), sketch=(0.1 + i / 1000, 0.2)) for i in range(3)]
    record = record_of(canary, runs)
    assert record.kind == "vector"
    assert differs(canary, record, runs[1]) is None
    assert differs(canary, record, Answer(text="", tokens="", sketch=(0.9, -0.2))) is not None
    assert differs(canary, record, Answer(text="", tokens="", sketch=(0.1,))) is not None


def test_by_the_way() -> None:
    """An answer shows another model's name and another state of the engine, where it tells them."""
    pinned = LockedModel(answer_fingerprint="vllm-0.32-tp1-aaaa")
    other = said("x", model="gpt-4o", fingerprint="vllm-0.32-tp1-bbbb")
    assert [change.field for change in by_the_way("qwen", pinned, [other])] == ["model", "fingerprint"]
    same = said("x", model="qwen:latest", fingerprint="vllm-0.32-tp1-aaaa")
    assert by_the_way("qwen", pinned, [same]) == []
    assert by_the_way("qwen", pinned, [said("x", fingerprint="fp_ollama")]) == []


async def test_the_fingerprint_is_measured() -> None:
    """What vLLM says of its settings with each answer is pinned with the canaries."""
    measured = await measure(Scripted(said("42", fingerprint="vllm-0.32-tp1-aaaa")), "m", [CANARY])
    assert measured.fingerprint == "vllm-0.32-tp1-aaaa"
    assert (await measure(Scripted(said("42", fingerprint="b0-unknown")), "m", [CANARY])) == Measured(
        measured.canaries
    )
