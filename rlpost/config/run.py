"""RunConfig: the sections of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rankers.config_file import Section
from rankers.evaluation.measure_names import computable
from rankers.first_stage.by_name import parts_of
from rlpost.config.algorithm import AlgorithmConfig
from rlpost.config.prompt_settings import TEMPLATES, chat_options
from rlpost.config.rules import RULES
from rlpost.config.task import RerankTask, Task
from rlpost.weights.lora import unservable_names


class LoraConfig(Section):
    rank: int = Field(default=16, ge=1, le=512)
    """Rank of every adapter matrix."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Only 0 keeps the learner's log-probabilities equal to the engine's."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Linear layers, by the ends of their names; ``all-linear`` is all but the output head."""

    @field_validator("target_modules")
    @classmethod
    def _servable(cls, targets: Any) -> Any:
        problem = None if targets == "all-linear" else unservable_names(targets)
        if problem is not None:
            raise ValueError(f"model.{problem}")
        return targets


class WarmStartConfig(Section):
    steps: int = Field(default=150, ge=0)
    """SFT steps on listwise problems before RL; 0 starts RL from the model as it is."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak learning rate of the supervised steps."""
    batch_size: int = Field(default=16, ge=1)
    """Problems per supervised step."""


class ModelConfig(Section):
    path: str = "tiny-ranker"
    """``tiny-ranker`` (shipped with the package), a local folder, or a hub id."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the base weights in engine and learner; adapters are always trained in float32."""
    max_length: int = Field(default=1024, ge=16)
    """Longest prompt plus completion, in tokens."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the model's chat template, such as ``enable_thinking``; by default those of the
    task's prompt in ``rankers.prompting.model_families`` (no reasoning but for ``rank_r1`` and
    ``iranker``).
    ``rerank``, ``serve`` and ``robustness`` of the policy use the same."""
    lora: LoraConfig = LoraConfig()
    warm_start: WarmStartConfig = WarmStartConfig(steps=0)


class DataConfig(Section):
    path: str = "pydoc"
    """``pydoc`` (docstrings of the running Python), a folder (corpus.jsonl, queries.jsonl,
    qrels/*.tsv, or MS MARCO's, TREC's, BRIGHT's files), or a name of ir_datasets."""
    train_split: str = "train"
    """Queries to train on."""
    eval_split: str = "test"
    """Queries to measure on, before and after; never trained on."""
    eval_queries: int = Field(default=500, ge=2)
    """At most this many held-out queries, chosen by the seed."""
    first_stage: str = "bm25"
    """``bm25``, ``bm25-multifield``, ``bm25-rm3`` (Lucene); ``bm25s`` (another implementation, no
    Java); ``dense:MODEL``; ``given:NAME`` (the collection's own candidates); ``run:FILE``;
    ``rrf(A, B)`` or ``sum(A, B)`` of these."""
    unknown_docs: Literal["error", "keep", "drop"] = "error"
    """Judgements about documents that the corpus lacks: refuse, count in the ideal, or forget."""
    identical_ids: Literal["auto", "drop", "keep"] = "auto"
    """A document with the id of the query: drop it, keep it, or drop it where texts are equal."""

    @field_validator("first_stage")
    @classmethod
    def _first_stage_exists(cls, value: str) -> str:
        parts_of(value)
        return value


class RolloutConfig(Section):
    engine: Literal["vllm", "hf", "encoder"] = "vllm"
    """``hf`` is the slow reference; ``encoder`` is for task ``pg_rank`` and for it alone."""
    workers: int = Field(default=1, ge=1)
    """Engines, each in an actor of its own."""
    group_size: int = Field(default=8, ge=2)
    """Completions per prompt; credit needs at least two."""
    prompts_per_call: int = Field(default=4, ge=1)
    """Prompts of one engine call."""
    temperature: float = Field(default=1.0, ge=0.01)
    """Sampling temperature of rollouts, at least 0.01 as vLLM samples no colder; evaluation is
    greedy."""
    max_new_tokens: int = Field(default=32, ge=1)
    """Longest completion."""
    sync: Literal["auto", "merged", "adapter"] = "auto"
    """How weights reach vLLM: merged into the base (fast on CPU), or as an adapter; auto picks by
    device."""
    gpus_per_worker: float = Field(default=0, ge=0)
    """GPUs that Ray reserves for each rollout worker."""
    kv_cache_mb: int = Field(default=256, ge=16)
    """Key-value cache of each engine on CPU."""


class LearnerConfig(Section):
    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Shape after the warm-up, over ``steps``."""
    warmup_steps: int = Field(default=0, ge=0)
    """Linear warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled, on adapter matrices."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradient norm is clipped to this."""
    tokens_per_batch: int = Field(default=8192, ge=16)
    """Token budget of one packed, padding-free micro-batch."""
    epochs: int = Field(default=1, ge=1)
    """Optimizer passes over each step's groups."""
    minibatches: int = Field(default=1, ge=1)
    """Equal parts of a step's samples, each with an optimizer step of its own."""
    uplift_every: int = Field(default=0, ge=0)
    """Every so many steps, two more forward passes record whose probability the step raised, by
    likelihood rank among siblings; 0 is never."""
    diagnostics_every: int = Field(default=0, ge=0)
    """Every so many steps the weights are compared with those before RL: how many changed, where,
    in which rank; 0 is never."""
    gpus: float = Field(default=0, ge=0)
    """GPUs that Ray reserves for the learner."""


class StreamingConfig(Section):
    max_lag: int = Field(default=0, ge=0)
    """Oldest policy a group may come from, in versions: 0 is synchronous, 1 overlaps sampling with
    learning."""
    queue_mb: int = Field(default=256, ge=1)
    """Byte budget of the group queue; producers wait when it is full."""
    lease_ttl_s: float = Field(default=600.0, gt=0)
    """A leased group that is not acknowledged in time is handed out again."""
    max_attempts: int = Field(default=3, ge=1)
    """A prompt that fails this often is set aside and reported."""
    stall_s: float = Field(default=600.0, gt=0)
    """No progress for this long stops the run."""
    node_wait_s: float = Field(default=30.0, gt=0)
    """Without any machine for so long on which a lost worker could start again, the run stops,
    resumable."""


class EvaluationConfig(Section):
    measures: tuple[str, ...] = ("nDCG@10", "RR@10")
    """Names of ir_measures; the first is the one that is compared and plotted."""
    bootstrap_samples: int = Field(default=10_000, ge=100)
    """Resamples of the paired 95% interval."""

    @field_validator("measures")
    @classmethod
    def _can_be_computed(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        if not measures:
            raise ValueError("evaluation.measures is empty: give at least one, such as nDCG@10")
        computable(measures)
        return measures


class CheckpointConfig(Section):
    every: int = Field(default=10, ge=1)
    """Steps between checkpoints; the last step always has one."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints kept."""


class RunConfig(Section):
    """A whole run. Cross-field rules live here."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run and of its folder under ``output``."""
    output: Path = Path("runs")
    """Folder of run directories."""
    seed: int = Field(default=0, ge=0)
    """Seeds the data order, the shuffles, the adapters and every sampled token."""
    steps: int = Field(default=40, ge=1)
    """Optimizer steps of RL."""
    groups_per_step: int = Field(default=16, ge=1)
    """Prompts per step."""
    on_no_signal: Literal["fail", "warn"] = "fail"
    """When no group of any step taught anything: the run ends with exit code 1 once it is measured,
    or with a warning."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    task: Task = RerankTask()
    rollout: RolloutConfig = RolloutConfig()
    algorithm: AlgorithmConfig = AlgorithmConfig()
    learner: LearnerConfig = LearnerConfig()
    streaming: StreamingConfig = StreamingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @property
    def run_dir(self) -> Path:
        return self.output / self.name

    @property
    def samples_per_step(self) -> int:
        return self.groups_per_step * self.rollout.group_size

    @property
    def longest_prompt(self) -> int:
        """Upper bound in tokens that a rendered prompt may have."""
        return self.model.max_length - self.rollout.max_new_tokens

    @model_validator(mode="after")
    def _options_of_the_task(self) -> RunConfig:
        # Settled here, so that the run remembers what it was trained with.
        found = TEMPLATES.get(self.task.kind)
        template = found and found(self.task.model_dump())
        options = chat_options(template, self.model.chat_template_kwargs)
        model = self.model.model_copy(update={"chat_template_kwargs": options})
        object.__setattr__(self, "model", model)  # frozen, and not shared with another config
        return self

    @model_validator(mode="after")
    def _rules(self) -> RunConfig:
        broken = [sentence for rule in RULES if (sentence := rule(self)) is not None]
        if broken:
            raise ValueError("\n".join(broken))
        return self
