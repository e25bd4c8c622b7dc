"""What a policy was trained on is what it is served with, token for token."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from rankers.backends.load import LoadedBackend
from rankers.backends.rendering import Renderer
from rankers.datasets.load import load_collection
from rankers.errors import BackendError, UserError
from rankers.methods.by_name import RerankerSpec, build_reranker, decide
from rankers.model_path import resolve
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import TextCompletion
from rankers.reranker.reranker import Reranker
from rankers.types import Passage, Query
from rlpost.config import parse
from rlpost.config.run import RunConfig
from rlpost.distill.config import DistillConfig
from rlpost.distill.run import prepare_lists as prepare_lists
from rlpost.distill.students import build_student as build_student
from rlpost.models.loading import load_tokenizer
from rlpost.serving.model_spec import located
from rlpost.serving.specs import settings_from, specs_of
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.by_name import prepare
from rlpost.tasks.ranking.prompts import candidates_of
from rlpost.warm_start.run import examples_of
from tests.small_beir import small_beir

THINKS = (
    "{% if messages[0]['role'] == 'system' and no_system is defined %}"
    "{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}"
    "{% elif opens is defined %}{{ '<think>\n' }}{% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a collection and a model whose template knows options."""
    folder = tmp_path_factory.mktemp("prompting")
    small_beir(folder / "beir")
    model = shutil.copytree(resolve("tiny-ranker"), folder / "model")
    tokenizer = load_tokenizer(model)
    tokenizer.chat_template = THINKS
    tokenizer.save_pretrained(model)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))


def config(place: Path, task: dict[str, Any], **options: Any) -> RunConfig:
    model = {"path": str(place / "model"), "max_length": 1024}
    return parse(
        {
            "model": model | ({"chat_template_kwargs": options} if options else {}),
            "data": {"path": str(place / "beir"), "first_stage": "bm25s"},
            "task": {"candidates": 3, **task},
            "rollout": {"engine": "hf", "max_new_tokens": 32},
        },
        origin="test",
    )


def prepared(cfg: RunConfig) -> PreparedTask:
    return prepare(cfg, say=lambda _: None)


def adapter_of(cfg: RunConfig, folder: Path) -> Path:
    """The adapter of a run of ``cfg``, as far as serving looks before it loads weights."""
    adapter = folder / "run" / "policies" / "policy-v1"
    adapter.mkdir(parents=True)
    base = {"base_model_name_or_path": str(cfg.model.path)}
    (adapter / "adapter_config.json").write_text(json.dumps(base))
    (folder / "run" / "config.yaml").write_text(yaml.safe_dump(cfg.model_dump(mode="json")))
    return adapter


class Recorder:
    """A backend that renders what it is asked, and answers nothing."""

    def __init__(self, model: Path, chat_options: Any) -> None:
        self.chat_tokenizer = Renderer(model, chat_options=chat_options)
        self.asked: list[tuple[int, ...]] = []

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion | BackendError]:
        self.asked += [tuple(self.chat_tokenizer._ids(chat)) for chat in chats]
        return [TextCompletion(text="", prompt_tokens=0, generated_tokens=0) for _ in chats]


def recorded(spec: RerankerSpec, monkeypatch: pytest.MonkeyPatch) -> tuple[Reranker, Recorder]:
    made: list[Recorder] = []

    def loads(model: Any, backend: str, need: str, chat_options: Any) -> Any:
        made.append(Recorder(Path(model.weights), chat_options))
        return LoadedBackend(made[0], made[0].chat_tokenizer)

    monkeypatch.setattr("rankers.methods.by_name.load_backend", loads)
    return build_reranker(spec).reranker, made[0]


TASKS = {
    "compact": ({"kind": "rerank"}, "listwise"),
    "long": ({"kind": "rerank", "passage_tokens": 64, "query_tokens": 4}, "listwise"),
    "short": ({"kind": "rerank", "passage_tokens": 5}, "listwise"),
    "rank_zephyr": ({"kind": "rerank", "template": "rank_zephyr"}, "listwise"),
    "rankgpt": ({"kind": "rerank", "template": "rankgpt", "passage_tokens": 6}, "listwise"),
    "rank_r1": ({"kind": "rank_r1", "passage_tokens": 6, "query_tokens": 5}, "rank-r1"),
    "iranker": ({"kind": "iranker", "passage_tokens": 6}, "iranker"),
}
OPTIONS = {
    "thinking": {"enable_thinking": True},
    "opened": {"enable_thinking": True, "opens": True},
    "no_system": {"no_system": True},
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, "default") for name in TASKS),
        *((name, options) for name in ("short", "rankgpt", "rank_r1") for options in OPTIONS),
    ],
)
def test_rerank_shows_the_policy_the_prompt_it_was_trained_on(
    name: str, options: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, method = TASKS[name]
    cfg = config(place, task, **OPTIONS.get(options, {}))
    training = prepared(cfg)
    adapter = adapter_of(cfg, tmp_path)
    model = located(str(adapter), "hf", {}, None)
    reranker, recorder = recorded(
        RerankerSpec(method=method, model=model, backend="hf"), monkeypatch
    )
    collection = load_collection(place / "beir", "train")
    compared = 0
    for index in range(6):
        prompt = training.source.prompt(index)
        shown = candidates_of(prompt)
        if len(shown.doc_ids) < 2:
            continue  # nothing to ask
        passages = [
            Passage(id=doc_id, text=collection.corpus[doc_id].content) for doc_id in shown.doc_ids
        ]
        recorder.asked.clear()
        query = Query(id=shown.query_id, text=collection.queries[shown.query_id])
        reranker.rank(query, passages)
        # A sort shows its candidates in an order of its own.
        seen = sorted if method == "rank-r1" else list
        assert seen(prompt.token_ids) in [seen(ids) for ids in recorder.asked]
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("name", ["long", "rank_r1"])
def test_serve_reads_the_same_of_the_run(name: str, place: Path, tmp_path: Path) -> None:
    task, method = TASKS[name]
    cfg = config(place, task, enable_thinking=True)
    adapter_of(cfg, tmp_path)
    model = {"name": "ours", "adapter": str(tmp_path / "run"), "method": method, "backend": "hf"}
    adapter = tmp_path / "run" / "policies" / "policy-v1"
    model["adapter"] = str(adapter)
    [spec] = specs_of(settings_from(None, {"models": [model]}, [])).values()
    assert spec.model.trained == located(str(adapter), "hf", {}, None).trained
    assert spec.model.trained is not None
    assert spec.model.trained.chat_options["enable_thinking"] is True
    assert spec.model.trained.passage_tokens == cfg.task.passage_tokens  # type: ignore[union-attr]


def test_the_user_of_a_policy_goes_before_its_run(place: Path, tmp_path: Path) -> None:
    adapter = adapter_of(config(place, {"kind": "rerank", "candidates": 4}), tmp_path)
    model = located(str(adapter), "hf", {}, None)
    decided = decide(RerankerSpec(method="listwise", model=model))
    assert (decided.arguments["window"], decided.arguments["step"]) == (4, 2)
    decided = decide(RerankerSpec(method="listwise", model=model, options={"window": 3}))
    assert decided.arguments["window"] == 3
    decided = decide(RerankerSpec(method="listwise", model=model, template="rank_zephyr"))
    assert "window" not in decided.arguments


def test_a_run_without_the_key_was_trained_without_options(place: Path, tmp_path: Path) -> None:
    adapter = adapter_of(config(place, {"kind": "rerank", "template": "rankgpt"}), tmp_path)
    path = tmp_path / "run" / "config.yaml"
    old = yaml.safe_load(path.read_text())
    assert old["model"].pop("chat_template_kwargs") == {"enable_thinking": False}
    path.write_text(yaml.safe_dump(old))
    found = located(str(adapter), "hf", {}, None).trained
    assert found is not None
    assert (found.template, dict(found.chat_options)) == ("rankgpt", {})


def test_an_option_that_the_template_does_not_know_is_refused(place: Path) -> None:
    with pytest.raises(UserError, match="names enable_thinkng, which the chat template of"):
        prepared(config(place, {"kind": "rerank"}, enable_thinkng=True))


@pytest.mark.parametrize("kind", ["rank_r1", "iranker"])
def test_a_warm_start_goes_on_where_the_template_opened_the_reasoning(
    kind: str, place: Path
) -> None:
    plain, opened = (
        examples_of(prepared(config(place, {"kind": kind}, **options)), count=4)
        for options in ({}, {"opens": True})
    )
    tokenizer = load_tokenizer(place / "model")
    for one, other in zip(plain, opened, strict=True):
        texts = [
            str(tokenizer.decode(list(example.prompt_ids))) + example.answer
            for example in (one, other)
        ]
        answers = [text.rpartition("assistant \n")[2].split() for text in texts]
        assert answers[0][0] == "<think>"
        assert answers[1] == answers[0]
        assert answers[1].count("<think>") == 1


@pytest.mark.parametrize("student", ["first", "full"])
def test_a_distilled_student_is_measured_and_served_as_it_was_taught(
    student: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in ({}, {"enable_thinking": True}):
        cfg = DistillConfig.model_validate(
            {
                "candidates": 3,
                "student": {"kind": student},
                "model": {"path": str(place / "model"), "chat_template_kwargs": options},
                "data": {"path": str(place / "beir"), "first_stage": "bm25s"},
            }
        )
        problem = prepare_lists(cfg, say=lambda _: None).training.batch(0, 1)[0]
        taught = build_student(cfg)._sample(problem).prompt_ids  # type: ignore[attr-defined]
        run = tmp_path / f"run-{len(options)}"
        shutil.copytree(place / "model", run / "model")
        (run / "config.yaml").write_text(yaml.safe_dump(cfg.model_dump(mode="json")))
        model = located(str(run / "model"), "hf", {}, None)
        assert model.trained is not None
        chat = build_student(cfg)._recipe.chat(problem)  # type: ignore[attr-defined]
        shown = Renderer(run / "model", chat_options=model.trained.chat_options)._ids(chat)
        assert tuple(shown) == taught
        end = str(load_tokenizer(place / "model").decode(list(taught[-12:])))
        assert ("</think>" in end) == (not options)
