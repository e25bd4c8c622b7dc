"""The schema of a distillation: every key of ``configs/distill/*.yaml``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from rankers.config_file import Section, explain, merge_overrides, read_yaml
from rankers.errors import UserError
from rlpost.config.prompt_settings import STUDENTS, chat_options
from rlpost.config.run import DataConfig, EvaluationConfig, LoraConfig

LETTERS = 26


class FirstStudent(Section):
    kind: Literal["first"]
    """A causal model that ranks by the log-probabilities of its answer's first letter
    (FIRST, arXiv 2406.15657); its loss is the teacher's text plus weighted RankNet."""
    template: Literal["rank_zephyr", "compact"] = "rank_zephyr"
    """Wording of the prompt; compact is what tiny-ranker can read."""
    ranknet_weight: float = Field(default=10.0, ge=0)
    """Weight of RankNet beside the language-modelling loss."""


class FullStudent(Section):
    kind: Literal["full"]
    """A causal model that writes the ranking of the whole list (arXiv 2412.14574); tokens of early
    ranks weigh more."""
    template: Literal["compact", "rank_zephyr", "rankgpt"] = "rank_zephyr"
    """Wording of the prompt."""


class E2RankStudent(Section):
    kind: Literal["e2rank"]
    """A bi-encoder whose query may be a whole listwise prompt (E2Rank, arXiv 2510.22733); InfoNCE
    of the plain query plus RankNet of the listwise one."""
    temperature: float = Field(default=0.03, gt=0)
    """Of InfoNCE."""
    scale: float = Field(default=10.0, gt=0)
    """RankNet's scores are this times the cosine."""
    factor: float = Field(default=2.0, ge=0)
    """Weight of RankNet beside InfoNCE."""
    query_prompt: str | None = None
    """What stands before the plain query; null for the model's own prompt. Saved with it."""
    passage_prompt: str | None = None
    """What stands before a passage that is compared, likewise."""


class StudentModel(Section):
    path: str = "tiny-ranker"
    """``tiny-ranker``, a local folder, or a hub id; a sentence-transformers model for e2rank."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the base weights."""
    max_length: int = Field(default=1024, ge=16)
    """Longest prompt plus answer, in tokens."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the model's chat template; by default ``enable_thinking: false``. ``rerank`` and
    ``serve`` of the student use the same."""
    lora: LoraConfig | None = None
    """Train adapters; without them, all weights."""


class OptimizerConfig(Section):
    learning_rate: float = Field(default=5e-5, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Shape after the warm-up, over ``steps``."""
    warmup_steps: int = Field(default=5, ge=0)
    """Linear warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradient norm is clipped to this."""
    tokens_per_batch: int = Field(default=8192, ge=16)
    """Token budget of one packed micro-batch; e2rank takes a step's lists at once."""


class DistillConfig(Section):
    """A whole distillation."""

    name: str = Field(default="distill", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the folder under ``output``."""
    output: Path = Path("runs")
    """Folder of run directories."""
    seed: int = Field(default=0, ge=0)
    """Seeds the order of queries, the shuffles and the adapters."""
    steps: int = Field(default=100, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=8, ge=1)
    """Lists per step; every list weighs the same."""
    teacher: Literal["labels"] | Path | None = None
    """TREC run over the training queries, best first; or ``labels``, the first stage's candidates
    by the collection's judgements; by default the first stage itself, which teaches its order and
    no more."""
    candidates: int = Field(default=10, ge=2, le=100)
    """Length of every list: the teacher's best. Queries for which it has fewer are left out. As
    many of the first stage are reranked to measure."""
    input_order: Literal["shuffled", "first_stage"] = "shuffled"
    """How a list is shown: shuffled, so that only its texts teach; or as the first stage ranks it,
    which is how rerankers are used, so that places teach too."""
    passage_tokens: int = Field(default=32, ge=4)
    """A longer passage is cut."""
    query_tokens: int = Field(default=32, ge=4)
    """A longer query is cut."""
    student: Annotated[FirstStudent | FullStudent | E2RankStudent, Field(discriminator="kind")]
    model: StudentModel = StudentModel()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def run_dir(self) -> Path:
        return self.output / self.name

    @model_validator(mode="after")
    def _options_of_the_student(self) -> DistillConfig:
        # Settled here, so that the run remembers what it was trained with.
        template = STUDENTS[self.student.kind](self.student.model_dump())
        options = chat_options(template, self.model.chat_template_kwargs)
        model = self.model.model_copy(update={"chat_template_kwargs": options})
        object.__setattr__(self, "model", model)  # frozen, and not shared with another config
        return self

    @model_validator(mode="after")
    def _order_hides_the_solution(self) -> DistillConfig:
        if self.teacher is None and self.input_order == "first_stage":
            raise ValueError(
                "input_order is 'first_stage', which without a teacher is the solution itself: "
                "give a teacher, or use shuffled"
            )
        return self

    @model_validator(mode="after")
    def _letters_suffice(self) -> DistillConfig:
        if self.student.kind == "first" and self.candidates > LETTERS:
            raise ValueError(
                f"candidates is {self.candidates}, but student 'first' has {LETTERS} letters: "
                "lower it"
            )
        return self


def load_distillation(path: Path, overrides: Sequence[str] = ()) -> DistillConfig:
    """The distillation described by a YAML file and ``key.sub=value`` overrides.

    Raises UserError that lists every mistake at once.
    """
    values = merge_overrides(read_yaml(path), overrides)
    try:
        return DistillConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, DistillConfig, origin=str(path))) from None
