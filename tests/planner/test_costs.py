"""A bill by line items becomes tokens and requests, and every dollar that does not is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.plan_cloud import CloudFigures, choose_cloud, price_of_line_items
from spillway.planner.plan_traffic import from_usage
from spillway.planner.readers import read_workload
from spillway.planner.readers.costs import DERIVED, Bill, share_out
from spillway.planner.readers.line_items import LineItem, read_line_item
from spillway.planner.workload import ReadReport, Total, Workload, WorkloadError
from spillway.vocabulary import Rates

D = Decimal
DAY_S = 86_400
START = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp())
PRICE_DAY = date(2026, 11, 24)
MINI = "gpt-4o-mini-2024-07-18"
MONTH_S = D("730.5") * 3600
HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,"
    "organization_id,organization_name"
)
PRICES = {"input": D("0.15"), "cached input": D("0.075"), "cache writes": D("0.15"), "output": D("0.60")}


def price(item: LineItem, at_s: float) -> Decimal | None:
    """GPT-4o mini's list price, at half for batch; unknown for every other model and on other terms."""
    if not item.model.startswith("openai/gpt-4o-mini") or item.terms:
        return None
    return PRICES[item.kind] / (2 if item.is_batch else 1)


BILL = Bill(10_000, price)


def row(day: int, amount: str, line_item: str, currency: str = "usd") -> str:
    """One row of the dashboard's export; without an amount, one of an idle day."""
    start, end = START + day * DAY_S, START + (day + 1) * DAY_S
    first, last = (datetime.fromtimestamp(each, UTC).isoformat() for each in (start, end))
    if not amount:
        return f"{start},{end},{first},{last},,,,,,"
    return f'{start},{end},{first},{last},{amount},{currency},"{line_item}",,org-1,Personal'


def export(folder: Path, *rows: str, name: str = "costs.csv") -> Path:
    """A cost export of the dashboard."""
    path = folder / name
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def page(folder: Path, *days: list[dict[str, Any]]) -> Path:
    """A page of the costs API, one bucket per day."""
    buckets = [
        {"object": "bucket", "start_time": START + i * DAY_S, "end_time": START + (i + 1) * DAY_S,
         "results": results}
        for i, results in enumerate(days)
    ]  # fmt: skip
    path = folder / "costs.json"
    path.write_text(json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None}))
    return path


def result(amount: object, line_item: str | None, **more: object) -> dict[str, Any]:
    """One result of the costs API."""
    return {
        "object": "organization.costs.result", "amount": {"value": amount, "currency": "usd"},
        "line_item": line_item, "project_id": None, **more,
    }  # fmt: skip


def read(path: Path, bill: Bill | None = BILL) -> tuple[Workload, ReadReport]:
    """The workload of one cost export and its report."""
    workload, reports = read_workload([path], bill=bill)
    return workload, reports[0]


USED = (
    row(0, "0.3000000000000000", f"{MINI}, input"),
    row(0, "0.0750000000000000", f"{MINI}, cached input"),
    row(0, "0.1200000000000000", f"{MINI}, output"),
    row(1, "0.1500000000000000", f"{MINI}, input"),
    row(1, "0.0600000000000000", f"{MINI}, output"),
)
"""Two days: 3,000,000 of 4,000,000 input tokens fresh, 1,000,000 of them cached, 300,000 output tokens."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{MINI}, input", LineItem("", f"openai/{MINI}", "input")),
        (f"{MINI}, cached input", LineItem("", f"openai/{MINI}", "cached input")),
        (f"{MINI}, output", LineItem("", f"openai/{MINI}", "output")),
        ("gpt-5.6-sol, cache writes", LineItem("", "openai/gpt-5.6-sol", "cache writes")),
        ("GPT-4o mini, output", LineItem("", "openai/gpt-4o-mini", "output")),
        ("o3-mini, text input", LineItem("", "openai/o3-mini", "input")),
        ("gpt-5, input_tokens", LineItem("", "openai/gpt-5", "input")),
        ("batch | gpt-4o, input", LineItem("", "openai/gpt-4o", "input", is_batch=True)),
        ("gpt-4o batch, output", LineItem("", "openai/gpt-4o", "output", is_batch=True)),
        ("gpt-4o, output (batch api)", LineItem("", "openai/gpt-4o", "output", is_batch=True)),
        (
            "priority | gpt-5.6-sol, output, long context",
            LineItem("", "openai/gpt-5.6-sol", "output", terms=("priority", "long context")),
        ),
        ("ft-gpt-4o-2024-08-06, input", LineItem("", "openai/ft-gpt-4o-2024-08-06", "input")),
    ],
)
def test_line_items_are_read(text: str, expected: LineItem) -> None:
    """A line item names model, kind of tokens, endpoint and terms, in whichever order a bill has them."""
    assert read_line_item(text) == replace(expected, text=text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no line item"),
        ("web search tool calls", "no tokens of a chat model"),
        ("assistants api | file search", "no tokens of a chat model"),
        ("Image models", "no tokens of a chat model"),
        ("Chat models", "no tokens of a chat model"),
        ("dall-e-3", "no tokens of a chat model"),
        ("whisper-1", "no tokens of a chat model"),
        ("gpt-image-1, image input", "no tokens of a chat model"),
        ("gpt-audio-mini-2025-12-15 text, input", "no tokens of a chat model"),
        ("gpt-4o-2024-08-06 audio, output", "no tokens of a chat model"),
        ("text-embedding-3-small, input", "no tokens of a chat model"),
        (f"{MINI}, training", "no tokens of a chat model"),
        ("my-unknown-model, output", "is of a model that nobody knows, so its price is unknown"),
        ("gpt-4o", "neither input nor output"),
        ("GPT-4o mini", "neither input nor output"),
        ("evals | gpt-4o, input", "charged in a way that is not known"),
    ],
)
def test_other_line_items_say_why_not(text: str, reason: str) -> None:
    """What is no chat model's input or output is never taken for it."""
    with pytest.raises(ValueError, match=reason):
        read_line_item(text)


def test_amounts_become_tokens_of_their_day(tmp_path: Path) -> None:
    """Amounts over prices are tokens, cached ones part of the input, and requests follow the tokens."""
    workload, report = read(export(tmp_path, *USED))
    assert report.format == "openai-cost"
    assert (report.rows, report.bad.total, report.cost_usd) == (5, 0, D("0.705"))
    assert workload.models == (f"openai/{MINI}",)
    assert workload.input_tokens.sum() == 4_000_000
    assert workload.output_tokens.sum() == 300_000
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.sum() == 1_000_000
    assert len(workload) == round(10_000 * 2 * DAY_S / MONTH_S)
    first_day = float((workload.time_s < DAY_S).mean())
    assert first_day == pytest.approx(3_200_000 / 4_300_000, abs=0.01)
    assert (workload.grade, workload.notes[0], workload.start_wall_s) == ("derived", DERIVED, START)


def test_pages_of_the_api_are_the_same(tmp_path: Path) -> None:
    """Amounts come as numbers or as text with many digits; a bucket without results is an idle day."""
    results = [
        result("0.300000000000000000000000000000", f"{MINI}, input"), result(0.075, f"{MINI}, cached input"),
        result(0.12, f"{MINI}, output"), result(0.0, "gpt-4o, cached input"),
    ]  # fmt: skip
    workload, report = read(page(tmp_path, [], results, [], []))
    assert (report.rows, report.bad.total) == (4, 0)
    assert workload.span_s == 4 * DAY_S
    assert workload.input_tokens.sum() == 3_000_000
    assert DAY_S <= workload.time_s[0] <= workload.time_s[-1] < 2 * DAY_S


def test_idle_days_are_no_fault_and_count_as_time(tmp_path: Path) -> None:
    """Rows with nothing but a day are part of the time, also at its ends, so that no month is overrated."""
    used = [row(day, "0.3", f"{MINI}, input") for day in (1, 2)]
    workload, report = read(export(tmp_path, row(0, "", ""), *used, row(3, "", ""), row(4, "0.00", "")))
    assert report.bad.total == 0
    assert workload.span_s == 5 * DAY_S
    assert len(workload) == round(10_000 * 5 * DAY_S / MONTH_S)


def test_stated_tokens_need_no_price(tmp_path: Path) -> None:
    """A quantity of tokens is taken as it is, also without a unit; one of something else is not."""
    results = [
        result(9.0, "priority | gpt-5.4, input", quantity=2_000_000.0, quantity_unit="tokens"),
        result("1.0", "gpt-5.4, output", quantity=100_000.0),
        result(0.15, f"{MINI}, input", quantity=7.0, quantity_unit="requests"),
        result(0.15, f"{MINI}, input", quantity=None, quantity_unit=None),
    ]
    workload, report = read(page(tmp_path, results))
    assert workload.input_tokens.sum() == 4_000_000
    assert workload.output_tokens.sum() == 100_000
    assert report.notes == ["2 line item(s) state their tokens, which were taken"]
    assert report.cost_usd == D("10.3")


def test_what_is_no_text_of_a_chat_model_is_named_with_its_dollars(tmp_path: Path) -> None:
    """Other services, unsplit models, unknown terms and broken rows are reported, never dropped silently."""
    path = export(
        tmp_path, *USED,
        row(0, "2.50", "web search tool calls"), row(1, "1.25", "web search tool calls"),
        row(0, "4.00", "gpt-4o"), row(1, "6.00", f"priority | {MINI}, output"),
        row(1, "0.75", ""), row(1, "-1", f"{MINI}, input"), row(1, "much", f"{MINI}, input"),
    )  # fmt: skip
    workload, report = read(path)
    assert workload.output_tokens.sum() == 300_000
    assert report.bad.sentences() == [
        "2 row(s) not used: 'web search tool calls' is no tokens of a chat model (line 7, 8; $3.75)",
        "1 row(s) not used: 'gpt-4o' names a model but neither input nor output, and cannot be split "
        "(line 9; $4.00)",
        f"1 row(s) not used: the price of 'priority | {MINI}, output' is unknown (line 10; $6.00)",
        "1 row(s) not used: no line item (line 11; $0.75)",
        "1 row(s) not used: cost is negative (line 12)",
        "1 row(s) not used: cost is not a number (line 13)",
    ]


def test_batch_is_taken_at_its_price(tmp_path: Path) -> None:
    """Batch line items buy twice the tokens, and are batch for the rest of the plan."""
    path = export(tmp_path, *USED, row(1, "0.15", f"batch | {MINI}, input"))
    workload, report = read(path)
    assert workload.input_tokens.sum() == 6_000_000
    assert [(total.input_tokens, total.model) for total in report.batch] == [(2_000_000, f"openai/{MINI}")]


def test_several_exports_are_one_bill(tmp_path: Path) -> None:
    """Months exported one by one add up; the number of requests is that of all of them."""
    later = row(2, "0.45", f"{MINI}, input")
    paths = [export(tmp_path, *USED), export(tmp_path, later, name="more.csv")]
    workload, _ = read_workload(paths, bill=BILL)
    assert workload.input_tokens.sum() == 7_000_000
    assert len(workload) == round(10_000 * workload.span_s / float(MONTH_S))


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no line items": (tuple(row(d, "0.5", "") for d in (0, 1)), "export it again grouped by line item"),
    "nothing but idle days": ((row(0, "0", ""), row(1, "", "")), "holds no cost that tells tokens$"),
    "only models": ((row(0, "1", "gpt-4o"),), "tells tokens: 1 row.* neither input nor output.*; .1.00"),
    "only services": ((row(0, "1", "web search"),), "tells tokens: 1 row.* no tokens of a chat model"),
    "unknown price": ((row(0, "1", "gpt-9, input"),), "'gpt-9, input' on 2026-11-02 is unknown .line 2"),
    "mixed currency": ((*USED, row(1, "1", f"{MINI}, input", "eur")), r"in EUR \(line 7, some in USD\)"),
    "broken amount": ((row(0, "much", f"{MINI}, input"),), "cost is not a number"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bills_that_tell_no_tokens_are_refused(case: str, tmp_path: Path) -> None:
    """A bill that no traffic follows from ends in one sentence with the file's name."""
    rows, sentence = REFUSED[case]
    with pytest.raises(WorkloadError, match=sentence) as caught:
        read(export(tmp_path, *rows))
    assert "costs.csv" in caught.value.message


def test_a_broken_quantity_is_a_fault(tmp_path: Path) -> None:
    """A quantity that is no number of tokens is not replaced by a guess."""
    results = [result(0.15, f"{MINI}, input", quantity=each) for each in ("many", -3, "inf")]
    _, report = read(page(tmp_path, [result(0.15, f"{MINI}, input"), *results]))
    assert report.bad.counts == {"quantity is not a number": 1, "quantity is not a number of tokens": 2}


def test_an_amount_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    """A line item without an amount or a quantity is not taken for nothing."""
    _, report = read(page(tmp_path, [result(0.15, f"{MINI}, input"), result(None, f"{MINI}, output")]))
    assert report.bad.lines == {"no amount": [1]}


def test_requests_must_be_given_and_only_with_costs(tmp_path: Path) -> None:
    """Costs tell no number of requests; everything else does and takes none."""
    costs = export(tmp_path, *USED)
    usage = tmp_path / "usage.csv"
    usage.write_text(
        "start_time,end_time,num_model_requests,model,input_tokens,output_tokens\n"
        f"{START},{START + DAY_S},20,{MINI},3000,1000\n"
    )
    with pytest.raises(WorkloadError, match=r"costs\.csv holds costs, .* --requests-per-month beside it,"):
        read(costs, None)
    with pytest.raises(WorkloadError, match="not both"):
        read(usage)
    for bill in (None, BILL):
        with pytest.raises(WorkloadError, match=r"usage\.csv, which would count twice; give the usage"):
            read_workload([costs, usage], bill=bill)


def test_requests_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """Fewer requests than days and models, longer than any model takes or too many are a wrong number."""
    with pytest.raises(WorkloadError, match="comes to 1 in the time of the costs, fewer than its days times"):
        read(export(tmp_path, *USED), Bill(15, price))
    with pytest.raises(WorkloadError, match="a request, more than any model takes"):
        read(export(tmp_path, row(0, "1000", f"{MINI}, input")), Bill(30, price))
    with pytest.raises(WorkloadError, match=r"requests are more than a plan can hold, 100,000,000"):
        read(export(tmp_path, *USED), Bill(10**12, price))


def test_requests_are_shared_out_to_the_last() -> None:
    """Shares follow tokens, each total has a request at least, and together they are the number asked for."""
    totals = [Total(0.0, float(MONTH_S), 0, tokens, 0, 0, str(tokens)) for tokens in (1, 300, 600, 99)]
    shared = share_out([*totals, Total(0.0, 1.0, 0, 0, 0)], 1003)
    assert sum(total.requests for total in shared) == 1003
    by_tokens = {total.input_tokens: total.requests for total in shared}
    assert by_tokens == {0: 0, 1: 2, 300: 301, 600: 600, 99: 100}


def test_idle_days_of_usage_count_as_time(tmp_path: Path) -> None:
    """The usage export's days without use are no faults either, in rows and in buckets."""
    path, counts = tmp_path / "usage.csv", (",,,,", "20.0,m,FALSE,3000.0,99.0", ",,,,", ",,,,")
    path.write_text(
        "start_time,end_time,num_model_requests,model,batch,input_tokens,output_tokens\n"
        + "".join(f"{START + i * DAY_S},{START + (i + 1) * DAY_S},{each}\n" for i, each in enumerate(counts))
    )
    used = {"num_model_requests": 20, "model": "m", "input_tokens": 3000, "output_tokens": 99}
    for each in (path, page(tmp_path, [], [used], [], [])):
        workload, reports = read_workload([each])
        assert (len(workload), workload.span_s) == (20, 4 * DAY_S)
        assert (reports[0].rows, reports[0].bad.total) == (1, 0)


NOON_S = START + DAY_S / 2


def test_line_items_are_priced_by_the_day() -> None:
    """The list price is that of the day of use; batch is half of it, and long prompts have their own tier."""
    usd = price_of_line_items(CloudFigures(PRICE_DAY))
    o3, plain = read_line_item("o3, input"), usd(read_line_item("gpt-5.4, input"), NOON_S)
    assert plain is not None
    assert usd(o3, datetime(2025, 2, 19, tzinfo=UTC).timestamp()) is None  # before there was an o3
    assert usd(o3, datetime(2025, 5, 19, tzinfo=UTC).timestamp()) == 10
    assert usd(o3, NOON_S) == 2
    assert usd(read_line_item("batch | o3, output"), NOON_S) == 4
    assert usd(read_line_item(f"{MINI}, cached input"), NOON_S) == D("0.075")
    assert usd(read_line_item("gpt-5.4, cache writes"), NOON_S) == plain
    assert usd(read_line_item("gpt-5.4, input, long context"), NOON_S) == 2 * plain
    for text in ("priority | gpt-5.4, input", f"{MINI}, input, long context", "gpt-9, input"):
        assert usd(read_line_item(text), NOON_S) is None


def test_own_prices_win() -> None:
    """A price stated for everything wins over one's own for a model, and that over the list."""
    own = {f"openai/{MINI}": Rates(D(3), D(6), D(1))}
    figures = CloudFigures(PRICE_DAY, own=own)
    item = read_line_item(f"{MINI}, output")
    assert price_of_line_items(figures)(item, NOON_S) == 6
    stated = replace(figures, input_usd_per_mtok=D(1), output_usd_per_mtok=D(2))
    assert price_of_line_items(stated)(item, NOON_S) == 2
    assert price_of_line_items(stated)(read_line_item(f"{MINI}, cached input"), NOON_S) is None
    assert price_of_line_items(stated)(read_line_item("priority | gpt-9, input"), NOON_S) == 1


def test_the_bill_comes_back(tmp_path: Path) -> None:
    """Priced again on the same day, the traffic costs what the bill says, batch of a cheap model included."""
    figures = CloudFigures(date(2026, 11, 2))
    rows = (*USED, row(1, "9.00", "gpt-4o-2024-08-06, output"), row(1, "0.60", f"batch | {MINI}, output"))
    traffic = from_usage([str(export(tmp_path, *rows))], bill=Bill(50_000, price_of_line_items(figures)))
    cloud, warnings = choose_cloud(traffic.workload, figures, traffic.batch)
    paid = cloud.price_usd(traffic.workload)
    assert paid is not None
    assert float(paid) == pytest.approx(0.705 + 9.60, abs=1e-5)
    assert warnings == []
    grades = {each.name: each.grade for each in (*traffic.assumptions, *cloud.assumptions)}
    assert grades["requests a month"] == "given"
    for name in ("input tokens, mean", "output tokens, mean", "requests of each day and model",
                 "share of traffic through the batch endpoint"):  # fmt: skip
        assert grades[name] == "derived"


def test_batch_without_tokens_is_no_batch(tmp_path: Path) -> None:
    """A line item of nothing, of a model that nobody used, has no price to weigh it by."""
    path = export(tmp_path, row(0, "1.50", f"{MINI}, input"), row(0, "0.00", "batch | gpt-4.1, input"))
    traffic = from_usage([str(path)], bill=BILL)
    choose_cloud(traffic.workload, CloudFigures(PRICE_DAY), traffic.batch)
    assert not traffic.batch


def test_a_stated_price_of_nothing_is_not_unknown(tmp_path: Path) -> None:
    """It contradicts the bill, and the line is named."""
    path = export(tmp_path, row(0, "1.50", f"{MINI}, input"), row(0, "1.00", f"{MINI}, output"))
    bill = Bill(10_000, lambda item, at_s: D(0) if item.kind == "output" else D("0.15"))
    _, (report,) = read_workload([path], bill=bill)
    assert any("stated price is 0" in sentence for sentence in report.bad.sentences())
