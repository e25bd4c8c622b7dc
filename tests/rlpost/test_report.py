"""report.html: what it says, that it needs nothing from outside, and runs that are cut off."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rankers.errors import UserError
from rlpost.report import write_report
from rlpost.report.curves import moving_mean
from rlpost.report.page import p_value, signed, verdict_panel
from rlpost.report.read import read_run_dir
from rlpost.report.timeline import busy_share, timeline
from rlpost.tracking.run_dir import RunDir
from rlpost.tracking.trace import Span
from tests.example_run import CONFIG, group, write_example_run


class Elements(HTMLParser):
    """Every tag with its attributes, and whether all were closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example_run(tmp_path_factory.mktemp("runs") / "example", steps=25)


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text()


def test_it_says_what_the_run_achieved(page: str) -> None:
    assert "<h1>example</h1>" in page
    assert (
        "nDCG@10 rose: 0.6123 before, 0.6581 after (+0.0458, 95% interval +0.0291 to +0.0622) "
        "on 500 held-out queries."
    ) in page
    for part in ("Reward", "Entropy", "Lag", "rollout-1", "worker_died", "tiny-ranker", "5.0 GB"):
        assert part in page


def test_it_is_well_formed_and_needs_nothing_from_outside(page: str) -> None:
    elements = Elements(page)
    assert elements.open == []
    assert {tag for tag, _ in elements.tags}.isdisjoint({"script", "img", "iframe", "object"})
    links = [
        value
        for _, attributes in elements.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href") and value is not None
    ]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    # A policy under which a browser would load or run nothing even if escaping failed.
    assert "default-src 'none'" in page


def test_colours_are_the_pages_variables(page: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) >= 10
    colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", "".join(charts)))
    assert colours <= {"#000000"}  # an invisible default of paths without a fill


def test_five_rollouts_from_all_over_the_run_with_their_text_escaped(run: Path, page: str) -> None:
    assert [sample["step"] for sample in read_run_dir(run).samples] == [1, 7, 13, 19, 25]
    assert "&lt;b&gt;if&lt;/b&gt; the iterable &amp; its tail" in page
    assert "<b>if</b>" not in page


def test_the_group_whose_rewards_differ_most_is_the_sample(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, CONFIG)
    run.log_rollouts(1, [group(0, (0.5, 0.5)), group(1, (0.0, 1.0)), group(2, (0.2, 0.4))])
    (sample,) = read_run_dir(tmp_path).samples
    assert sample["index"] == 1


def test_a_run_cut_off_anywhere_gives_a_page_that_says_so(tmp_path: Path) -> None:
    run = write_example_run(tmp_path / "run", steps=4, finished=False)
    for name in ("metrics.jsonl", "events.jsonl", "trace.json"):
        text = (run / name).read_text()
        (run / name).write_text(text[:-7])
    text = write_report(run).read_text()
    assert "There is no summary" in text
    assert "unfinished" in text
    assert "Before and after" not in text


def test_a_run_without_a_single_step(tmp_path: Path) -> None:
    RunDir.create(tmp_path / "run", CONFIG)
    text = write_report(tmp_path / "run").read_text()
    assert "No step has ended yet" in text
    assert "Timeline" not in text


def test_a_failed_run_is_called_failed(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    run.events("run_failed", error="TrainingError: step 3: loss/policy is nan")
    text = write_report(tmp_path / "run").read_text()
    assert 'class="chip failed"' in text
    assert "loss/policy is nan" in text


def test_no_run_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        write_report(tmp_path)


def test_the_verdict_follows_the_interval() -> None:
    def outcome(low: float, high: float) -> str:
        delta = {"mean": 0.01, "ci95": [low, high], "p": 0.5}
        means = {"nDCG@10": 0.5}
        return verdict_panel(
            {"before": means, "after": means, "delta": {"nDCG@10": delta}, "num_queries": 9}
        )

    assert "rose" in outcome(0.001, 0.02)
    assert "fell" in outcome(-0.02, -0.001)
    assert "did not change measurably" in outcome(-0.001, 0.02)
    assert verdict_panel(None) == ""


def span(name: str, actor: str, start: float, end: float) -> Span:
    return Span(name=name, actor=actor, start=start, end=end)


def test_busy_share_is_the_union_of_spans() -> None:
    spans = [
        span("sample", "a", 0.0, 4.0),
        span("score", "a", 3.0, 5.0),  # overlaps the first
        span("sample", "a", 8.0, 12.0),  # ends after the window
        span("step", "b", 5.0, 6.0),
    ]
    assert busy_share(spans, "a", 0.0, 10.0) == pytest.approx(0.7)
    assert busy_share(spans, "b", 0.0, 10.0) == pytest.approx(0.1)


def test_the_detail_shows_four_steps_from_the_middle() -> None:
    spans = [span("step", "learner", 10.0 * i + 8, 10.0 * i + 10) for i in range(12)]
    found = timeline(spans)
    assert found is not None
    assert found.detail_s == pytest.approx(40.0)
    assert found.seconds == pytest.approx(112.0)
    assert timeline([]) is None


def test_waiting_is_not_work() -> None:
    spans = [span("sample", "rollout-0", 0.0, 1.0), span("put", "rollout-0", 1.0, 3.0)]
    found = timeline([*spans, span("sample", "rollout-0", 3.0, 4.0)])
    assert found is not None
    assert found.busy == [("rollout-0", 0.5)]


def test_small_formats() -> None:
    assert (signed(0.05, 2), signed(-0.5, 1), signed(None)) == ("+0.05", "-0.5", "-")
    assert (p_value(0.0001), p_value(0.0312)) == ("< 0.001", "0.031")
    assert moving_mean([0.0, 3.0, 6.0], 2) == [1.5, 3.0, 4.5]
