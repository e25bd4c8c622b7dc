"""The robustness report on rankers whose weaknesses are known, and through the command line."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from rankers.reranker.reranker import Problem
from rankers.robustness.measure import RobustnessReport, kendall_tau, measure_robustness
from rankers.robustness.output import sections
from rankers.robustness.variations import variations
from rankers.types import Passage, Query, Ranking, Trace
from tests.rankers.evaluation.test_evaluate import rlpost
from tests.small_beir import small_beir

TEXTS = {"a": "green apples grow", "b": "purple plums", "c": "apples", "d": "nothing at all"}
QRELS = {"q1": {"a": 1}, "q2": {"b": 1}}


def problems(order: str = "dcab") -> list[Problem]:
    passages = [Passage(id=i, text=TEXTS[i]) for i in order]
    return [
        (Query(id="q1", text="green apples"), passages),
        (Query(id="q2", text="purple plums"), passages),
    ]


def by_words(wanted: Sequence[Problem]) -> list[Ranking]:
    """Counts words of the query, the same for any input order: blind to it, and easy to stuff."""

    def order(query: Query, passages: Sequence[Passage]) -> tuple[int, ...]:
        words = query.text.split()
        found = [sum(text.text.split().count(word) for word in words) for text in passages]
        return tuple(sorted(range(len(passages)), key=lambda i: (-found[i], passages[i].id)))

    trace = Trace(calls=2, prompt_tokens=10, seconds=0.5, malformed={"ok": 2})
    return [Ranking(order=order(*problem), trace=trace) for problem in wanted]


def as_given(wanted: Sequence[Problem]) -> list[Ranking]:
    return [Ranking(order=tuple(range(len(passages)))) for _, passages in wanted]


def values(report: RobustnessReport, dimension: str, name: str) -> list[float]:
    return [getattr(row, name) for row in report.varied if row.dimension == dimension]


def test_a_ranker_that_counts_words() -> None:
    report = measure_robustness(by_words, problems(), QRELS, measure="RR@10")
    assert report.given == 1.0
    assert report.first_stage == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert report.gain.mean == pytest.approx(1 - report.first_stage)
    assert (report.spread, report.worst_tenth, report.failed) == (0.0, 1.0, 0.0)
    for dimension, count in {"repeated": 1, "input order": 6}.items():
        assert values(report, dimension, "same_order") == [1.0] * count
        assert values(report, dimension, "tau") == [1.0] * count
    named = {row.name: row for row in report.varied}
    assert named["extra spaces"].same_order == 1.0
    assert named["upper case"].mean < 1.0
    # q1's last candidate that is not relevant is b, q2's is a: both gain the query's words.
    assert (named["keyword stuffing"].first, named["keyword stuffing"].promoted_rate) == (1.0, 1.0)
    assert named["instruction to the ranker"].promoted_rate == 0.0
    assert named["instruction to the ranker"].places == 0.0
    assert report.cost == {
        "calls": 2,
        "prompt_tokens": 10,
        "generated_tokens": 0,
        "seconds_p50": 0.5,
        "seconds_p95": 0.5,
    }
    assert report.malformed["given"] == {"ok": 4}
    assert report.malformed["attacks"] == {"ok": 16}


def test_a_ranker_that_keeps_the_order_it_is_given() -> None:
    report = measure_robustness(as_given, problems("abcd"), QRELS, measure="RR@10", shuffles=5)
    assert (report.given, report.gain.mean) == (0.75, 0.0)
    reverse, *shuffled = (row for row in report.varied if row.dimension == "input order")
    assert (reverse.tau, reverse.same_order) == (-1.0, 0.0)
    assert reverse.mean == pytest.approx((1 / 4 + 1 / 3) / 2)
    assert len(shuffled) == 5
    assert len({row.mean for row in shuffled}) > 1
    assert values(report, "typos", "same_order") == [1.0] * 4


def test_other_collections_are_compared_with_their_first_stage() -> None:
    other = ([(Query(id="q", text="apples"), problems()[0][1])], {"q": {"c": 1}})
    report = measure_robustness(
        by_words, problems(), QRELS, measure="RR@10", others={"fruit": other}
    )
    [row] = report.elsewhere
    assert (row.name, row.queries, row.first_stage, row.reranked) == ("fruit", 1, 0.5, 0.5)


def test_the_same_seed_shows_the_same_inputs() -> None:
    first, second, other = (
        list(variations(problems(), QRELS, shuffles=5, repeats=1, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other
    orders = {tuple(p.id for p in v.problems[0][1]) for v in first if v.dimension == "input order"}
    assert len(orders) >= 4


def test_every_dimension_has_its_table() -> None:
    report = measure_robustness(by_words, problems(), QRELS)
    titles = [section.title for section in sections(report)]
    assert titles[2:7] == ["Repeated", "Input order", "Typos", "Same meaning", "Attacks"]
    json.dumps(report.as_json())


def test_kendall_tau_by_hand() -> None:
    assert kendall_tau("abcd", "abcd") == 1.0
    assert kendall_tau("abcd", "dcba") == -1.0
    assert kendall_tau("abcd", "bacd") == pytest.approx(4 / 6)
    assert kendall_tau("a", "a") == 1.0


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_beir(tmp_path / "small")
    run = tmp_path / "first.trec"
    run.write_text(
        "".join(
            f"q-{query} Q0 {doc} {rank} {-rank} t\n"
            for query in ("hash", "rand")
            for rank, doc in enumerate(("list", query, "sums"), 1)
        )
    )
    words = ["--method", "listwise", "--model", "tiny-ranker", "--backend", "hf"]
    words += [
        "--shuffles",
        "1",
        "--dataset",
        str(folder),
        "--run",
        str(run),
        "--also",
        f"{folder}={run}",
    ]
    words += ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    assert rlpost(monkeypatch, "robustness", *words) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["queries"] == 2
    assert report["elsewhere"][0]["reranked"] == pytest.approx(report["given"])
    assert [row["same_order"] for row in report["varied"] if row["dimension"] == "repeated"] == [
        1.0
    ]
    page = (tmp_path / "r.html").read_text()
    assert "keyword stuffing" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "Attacks" in capsys.readouterr().out
    assert rlpost(monkeypatch, "robustness", *words, "--also", "nothing") == 2
    assert "--also 'nothing' must be DATASET=RUN" in capsys.readouterr().err
    assert rlpost(monkeypatch, "robustness", *words, "--measure", "R") == 2
    assert "measure 'R' needs a cutoff" in capsys.readouterr().err
