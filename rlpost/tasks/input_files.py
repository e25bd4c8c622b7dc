"""The folders and files that a config names, looked for before anything is loaded. No torch.

Paths are relative to where the command runs, as in training. What only a hub or an endpoint can
tell is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from rankers.config_file import listed, merge_overrides, mistakes_of, read_yaml
from rankers.datasets.folders import given_runs, missing_parts
from rankers.datasets.pydoc import SPLITS as PYDOC_SPLITS
from rankers.errors import RankerError, RlpostError, UserError
from rankers.first_stage.by_name import parts_of
from rankers.model_path import HUB_ID, resolve
from rlpost.config.run import DataConfig, ModelConfig, RunConfig
from rlpost.config.task import PgRankTask, RecommendTask, RerankerReward, Task
from rlpost.models.loading import TOKENIZER_FILES, context_length, is_local

WEIGHTS = ("*.safetensors", "*.bin")
Schema = TypeVar("Schema", bound=BaseModel)

MOVIELENS = ("movies.csv", "ratings.csv")


def load_present(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """``rlpost.config.load``, and what the config names is there.

    Raises UserError that lists every mistake at once, those of the keys and what is missing.
    """
    return checked(RunConfig, path, overrides, missing)


def checked(
    schema: type[Schema],
    path: Path,
    overrides: Sequence[str],
    missing: Callable[[Mapping[str, Any]], Iterable[str]],
) -> Schema:
    """The YAML file ``path`` with ``overrides`` by its schema, and nothing is ``missing``.

    Raises UserError that lists the mistakes of both kinds.
    """
    values = merge_overrides(read_yaml(path), overrides)
    found: Schema | None = None
    mistakes = []
    try:
        found = schema.model_validate(values)
    except ValidationError as error:
        mistakes = mistakes_of(error, schema)
    mistakes += dict.fromkeys(missing(values))
    if found is None or mistakes:
        raise UserError(listed(mistakes, origin=str(path)))
    return found


def missing(values: Mapping[str, Any]) -> list[str]:
    """A sentence for everything that the values of a run's config name and that is not there.

    A section with mistakes of its own is passed over.
    """
    data = valid(DataConfig, values.get("data", {}))
    model = valid(ModelConfig, values.get("model", {}))
    task = valid(Task, values.get("task", {"kind": "rerank"}))
    found: list[str] = []
    if data is not None and isinstance(task, RecommendTask):
        found += missing_movielens(Path(data.path))
    elif data is not None:
        found += missing_data(data)
    if model is not None:
        encoder = isinstance(task, PgRankTask)
        found += missing_model(model.path, max_length=None if encoder else model.max_length)
    reward = getattr(task, "reward", None)
    if isinstance(reward, RerankerReward):
        found += _missing_reward(reward)
    return found


def missing_data(data: DataConfig) -> Iterator[str]:
    """What the collection and its first stage lack."""
    splits = (data.train_split, data.eval_split)
    if data.train_split == data.eval_split:
        yield (
            f"data.eval_split is {data.eval_split!r}: all of its queries are in both the training "
            "and the evaluation split: choose another"
        )
    if Path(data.path).is_dir() and data.path != "pydoc":
        lacking = [one for split in splits for one in missing_parts(Path(data.path), split)]
        # Documents and queries that one split lacks, the other does.
        once = {sentence.partition(":")[0]: sentence for sentence in lacking}
        yield from (f"data.path: {sentence}" for sentence in once.values())
    else:
        for split in splits:
            yield from _missing_name(data.path, split)
    given = given_runs(Path(data.path))
    for part in parts_of(data.first_stage):
        kind, _, value = part.partition(":")
        if kind == "run" and not Path(value).is_file():
            yield f"data.first_stage: there is no file {value!r}: name a TREC run"
        elif kind == "given" and value not in given:
            names = ", ".join(given) or "none"
            yield f"data.first_stage: {data.path} comes with no run {value!r}: there is {names}"
        elif kind == "dense" and not Path(value).exists() and not _may_be_on_a_hub(value):
            yield f"data.first_stage: there is no model {value!r}: name a folder, or a hub id"


def missing_movielens(folder: Path) -> Iterator[str]:
    """The files of a MovieLens folder that are not there."""
    if not folder.is_dir():
        yield f"data.path: there is no folder {str(folder)!r}: give one in MovieLens format"
        return
    for name in MOVIELENS:
        if not (folder / name).is_file():
            yield f"data.path: {folder} has no {name}: give a folder in MovieLens format"


def missing_model(path: str, *, max_length: int | None) -> Iterator[str]:
    """What a local model lacks; ``max_length`` tokens must fit into its positions."""
    if not is_local(path) and HUB_ID.fullmatch(path):
        return
    try:
        folder = resolve(path)
        if not any((folder / name).is_file() for name in TOKENIZER_FILES):
            yield f"model.path: {path} has no tokenizer ({' or '.join(TOKENIZER_FILES)})"
        if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
            yield f"model.path: {path} has no weights ({' or '.join(WEIGHTS)})"
        if max_length is not None:
            context_length(path, max_length)
    except UserError as error:
        yield f"model.path: {error}"


def _missing_name(name: str, split: str) -> Iterator[str]:
    """Why there is no collection of that name; nothing is downloaded."""
    try:
        if name != "pydoc":
            from rankers.datasets.by_name import full_name

            full_name(name, split)
        elif split not in PYDOC_SPLITS:
            yield f"data.path: pydoc has no split {split!r}: use one of {', '.join(PYDOC_SPLITS)}"
    except RankerError as error:
        yield f"data.path: {error}"


def _missing_reward(reward: RerankerReward) -> Iterator[str]:
    """Why a reranker that runs here cannot; nothing about one at an endpoint or on a hub."""
    if reward.model is None or reward.url is not None:
        return
    if not Path(reward.model).exists() and not is_local(reward.model):
        if HUB_ID.fullmatch(reward.model):
            return
        yield f"task.reward.model: there is no model {reward.model}: name a folder, or a hub id"
        return
    from rlpost.tasks.ranking.rewards import reranker_of

    try:
        reranker_of(reward)
    except (RankerError, RlpostError) as error:
        yield f"task.reward: {error}"


def _may_be_on_a_hub(name: str) -> bool:
    return HUB_ID.fullmatch(name) is not None or "/" not in name


def valid(kind: Any, values: object) -> Any:
    """``values`` as a section of that kind; None where they are not one."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError:
        return None
