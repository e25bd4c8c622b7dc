"""The run directory: layout, going back to a checkpoint, trouble in one sentence."""

import json
import resource
from pathlib import Path

import pytest

from rankers.errors import UserError
from rankers.files import jsonl
from rlpost.checkpoint import latest_checkpoint, save_checkpoint
from rlpost.report import write_report
from rlpost.tracking.run_dir import RunDir
from rlpost.tracking.summary import read_summary
from rlpost.tracking.trace import read_spans
from tests.example_run import CONFIG, example_summary, group, write_example_run


def steps_of(run: Path) -> list[int]:
    return [record["step"] for record in jsonl.read(run / "metrics.jsonl")]


def test_layout(tmp_path: Path) -> None:
    run = write_example_run(tmp_path / "run", steps=3)
    assert sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()) == [
        ".lock",
        "config.yaml",
        "events.jsonl",
        "metrics.jsonl",
        "rollouts/step-000001.jsonl",
        "rollouts/step-000002.jsonl",
        "rollouts/step-000003.jsonl",
        "summary.json",
        "trace.json",
    ]
    first = jsonl.read(run / "metrics.jsonl")[0]
    assert (first["step"], first["version"]) == (1, 1)
    assert first["time"] > 1.7e9
    assert (run / "config.yaml").read_text() == CONFIG


def test_a_rollout_record_holds_what_a_reader_needs(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, CONFIG)
    run.log_rollouts(1, [group(0, (1.0, 0.5), version=3)], [[0.7, -0.7]])
    (record,) = jsonl.read(tmp_path / "rollouts" / "step-000001.jsonl")
    assert record["prompt"][0]["role"] == "user"
    assert record["payload"]["gains"] == [0, 0, 1, 0, 0]
    assert record["prompt_id"] == "builtins:max0"
    best, worst = record["completions"]
    assert (best["reward"], best["advantage"], best["versions"]) == (1.0, 0.7, [3])
    assert (worst["reward"], worst["advantage"]) == (0.5, -0.7)
    assert best["logprob"] == pytest.approx(-3.0)
    assert best["num_tokens"] == 6


def test_resume_leaves_no_step_twice(tmp_path: Path) -> None:
    run_dir = write_example_run(tmp_path / "run", steps=7, finished=False)
    for step in (3, 6):
        save_checkpoint(run_dir, step, lambda p: None, {})
    (run_dir / "checkpoints/step-000006/state.json").write_text("damaged")
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "vers')

    checkpoint = latest_checkpoint(run_dir)
    assert checkpoint is not None
    run = RunDir.resume(run_dir, checkpoint.step)
    assert steps_of(run_dir) == [1, 2, 3]
    assert sorted(p.stem for p in (run_dir / "rollouts").iterdir()) == [
        "step-000001",
        "step-000002",
        "step-000003",
    ]
    assert [p.name for p in (run_dir / "checkpoints").iterdir()] == ["step-000003"]
    run.log_step(4, 4, {"reward/mean": 0.5})
    run.trace("learn", "learner", 1.0, 2.0)
    assert steps_of(run_dir) == [1, 2, 3, 4]
    assert json.loads((run_dir / "trace.json").read_text())[-1]["name"] == "learn"


def test_resume_removes_the_outcome_of_an_earlier_end(tmp_path: Path) -> None:
    run_dir = write_example_run(tmp_path / "run", steps=2, finished=True)
    RunDir.resume(run_dir, 2)
    assert read_summary(run_dir) is None


def test_an_unlisted_metric_or_event_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, CONFIG)
    with pytest.raises(KeyError, match=r"'reward/meen' is not in .* nearest is 'reward/mean'"):
        run.log_step(1, 1, {"entropy": 1.0, "reward/meen": 0.5})
    with pytest.raises(KeyError, match=r"event 'worker_dyed'"):
        run.events("worker_dyed")
    assert not (tmp_path / "metrics.jsonl").exists()
    assert not (tmp_path / "events.jsonl").exists()


def test_not_a_number_is_null_in_strict_json(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, CONFIG)
    run.log_step(1, 1, {"ratio/max": float("inf"), "entropy": float("nan")})
    (record,) = jsonl.read(tmp_path / "metrics.jsonl")
    assert (record["ratio/max"], record["entropy"]) == (None, None)


def test_a_used_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write_example_run(tmp_path / "run", steps=1)
    with pytest.raises(UserError, match=r"not empty: continue it with --resume .*run, choose"):
        RunDir.create(tmp_path / "run", CONFIG)


def test_only_one_process_writes_a_run(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    with pytest.raises(UserError, match=r"being written by another process"):
        RunDir.resume(tmp_path / "run", 0)
    run.close()
    RunDir.resume(tmp_path / "run", 0).close()


def test_resuming_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a run directory \(it has no config.yaml\)"):
        RunDir.resume(tmp_path, 0)


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*Not a directory.*choose another folder"):
        RunDir.create(tmp_path / "file" / "run", CONFIG)


def test_a_full_disk_is_told_before_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlpost.tracking.claim.MIN_FREE_MB", 1 << 40)
    with pytest.raises(UserError, match=r"MB are free at .* free space there"):
        RunDir.create(tmp_path / "run", CONFIG)


def test_a_disk_that_fills_up_is_one_sentence(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, CONFIG)
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write .*metrics.jsonl.*No space left.*free space"):
        run.log_step(1, 1, {"reward/mean": 0.5})


def test_damaged_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    one, three = b'{"a": 1}\n', b'{"a": 3}\n'
    for torn in (b'{"a"\n', b"\xff\xfe\0\n", b'{"a": "\xc3\n', b"[" * 9999 + b"\n", b'7\n"a"\n'):
        path.write_bytes(one + torn + three)
        assert jsonl.recover(path) == ([{"a": 1}, {"a": 3}], torn.count(b"\n"))
    path.write_bytes(one + b'{"a": 2}\n{"a": 3')
    assert jsonl.recover(path) == ([{"a": 1}, {"a": 2}], 1)
    path.write_bytes(one + b'{"b": 2}\n{"a": null}\n' + three)
    assert jsonl.recover(path, {"a": int}) == ([{"a": 1}, {"a": 3}], 2)
    for empty in (b"", b"\n\n"):
        path.write_bytes(empty)
        assert jsonl.recover(path) == ([], 0)
    assert jsonl.read(tmp_path / "absent") == []


def test_a_line_is_never_glued_to_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2, "b')
    jsonl.append(path, {"a": 3})
    jsonl.append(path, {"a": "half \ud800 a pair"})
    assert jsonl.recover(path) == ([{"a": 1}, {"a": 3}, {"a": "half \ud800 a pair"}], 1)


def test_a_full_disk_leaves_no_torn_line(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, CONFIG)
    run.events("phase", doing="x")
    run.trace("a", "x", 1.0, 2.0)
    paths = [tmp_path / name for name in ("events.jsonl", "trace.json")]
    before = [path.read_bytes() for path in paths]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, before)) + 60, limits[1]))
    try:  # the first writes of each end in the middle
        with pytest.raises(UserError, match=r"cannot write .*events.jsonl"):
            run.events("phase", doing="y" * 999)
        with pytest.raises(UserError, match=r"cannot write .*trace.json"):
            run.trace("b" * 999, "x", 2.0, 3.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.read_bytes() for path in paths] == before
    run.events("phase", doing="z")
    run.trace("c", "x", 3.0, 4.0)
    assert [event["doing"] for event in jsonl.read(paths[0])] == ["x", "z"]
    assert [span.name for span in read_spans(paths[1])] == ["a", "c"]


def test_a_run_with_damaged_logs_goes_on_and_is_reported(tmp_path: Path) -> None:
    write_example_run(tmp_path / "run", steps=6)
    logs = [tmp_path / "run" / name for name in ("metrics.jsonl", "events.jsonl", "trace.json")]
    whole = [path.read_bytes() for path in logs]
    for path, data in zip(logs, whole, strict=True):
        lines = data.split(b"\n")
        lines[2] = lines[2][:9]
        lines.insert(4, b"\0\0\xff")
        path.write_bytes(b"\n".join(lines))
    (tmp_path / "run" / "summary.json").write_text("{")
    told: list[str] = []
    page = write_report(tmp_path / "run", say=told.append).read_text()
    assert told == [
        "2 damaged lines of metrics.jsonl, 2 damaged lines of events.jsonl, "
        "2 damaged lines of trace.json, 1 damaged line of summary.json are left out"
    ]
    assert told[0] in page
    run = RunDir.resume(tmp_path / "run", 6)
    assert run.damaged == {"metrics.jsonl": 2, "events.jsonl": 2, "trace.json": 2}
    run.close()
    for path, data in zip(logs, whole, strict=True):
        assert path.read_bytes().count(b"\n") == data.count(b"\n") - 1
    again = RunDir.resume(tmp_path / "run", 6)
    assert again.damaged == {}
    again.close()


def test_summary_schema(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, CONFIG)
    path = run.write_summary(example_summary(40))
    summary = json.loads(path.read_text())
    assert summary["before"]["nDCG@10"] == 0.6123
    assert summary["delta"]["nDCG@10"] == {"mean": 0.0458, "ci95": [0.0291, 0.0622], "p": 0.0002}
    assert summary["seconds"]["rl"] == 181.4
    assert summary["versions"]["python"].startswith("3.")
    assert read_summary(tmp_path) == summary
