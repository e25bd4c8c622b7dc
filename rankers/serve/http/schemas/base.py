"""What the requests and answers of all APIs share, our extension among it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from rankers.reranker.reranker import ScoreKind
from rankers.types import Trace

MOST_FIELDS = 100
"""Of an object. Each wrong one is a mistake to tell, which takes far more memory than it does."""


def whole(value: Any) -> Any:
    """JSON has one kind of number: 3.0 is an integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _said(query: str) -> str:
    if not query.strip():
        raise ValueError("must not be empty")
    return query


Whole = Annotated[int, BeforeValidator(whole)]
# Bounds come first: behind a validator they would be missing from the OpenAPI document.
Count = Annotated[int, Field(ge=1), BeforeValidator(whole)]
Priority = Annotated[int, Field(ge=0, le=999), BeforeValidator(whole)]
AnyPriority = Annotated[int, BeforeValidator(whole)]
NoneOrMore = Annotated[int, Field(ge=0), BeforeValidator(whole)]
QueryText = Annotated[str, AfterValidator(_said), Field(json_schema_extra={"pattern": r"\S"})]
Texts = Annotated[list[str], Field(min_length=1)]


def one_number(top_n: int | None, top_k: int | None) -> None:
    """ValueError where both names of the number of results are given and differ."""
    if top_n and top_k and top_n != top_k:
        raise ValueError("top_n and top_k are two names for one number: give one of them")


class RequestBody(BaseModel):
    """A request or part of one: no unknown fields, no values of another type."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class AnswerBody(BaseModel):
    """An answer or part of one."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class Control(RequestBody):
    """Extension: how this request is to be treated."""

    priority: Priority | None = None
    """0, the default, goes first; the larger, the later."""
    deadline_ms: Count | None = None
    """From the arrival of the request; answered with 504 afterwards. The server has its own."""
    strict: bool = False
    """Fail with 500 rather than give a ranking that is in part the order of the input."""


class Extension(Control):
    """Extension: what the answer's `rlpost` is to tell; without it in the request there is none."""

    explain: bool = False
    """Give what the model wrote: its reasoning, its choices."""


class TraceAnswer(AnswerBody):
    """What the ranking cost and how the model kept to its format."""

    calls: int
    """Questions put to the model."""
    prompt_tokens: int
    """Read; 0 where the model does not report them (encoders)."""
    generated_tokens: int
    """Written."""
    malformed: dict[str, int]
    """Answers by class: ok, wrong_format, repetition, missing."""
    rules: dict[str, int]
    """Answers by the rule that read them: strict, loose, none."""
    failures: int
    """Questions that the engine failed to answer."""
    truncated: int
    """Passages cut to fit a prompt, counted at every showing."""
    seconds: float
    """From the first question to the last answer."""

    @classmethod
    def of(cls, trace: Trace) -> TraceAnswer:
        return cls(
            calls=trace.calls,
            prompt_tokens=trace.prompt_tokens,
            generated_tokens=trace.generated_tokens,
            malformed=dict(trace.malformed),
            rules=dict(trace.rules),
            failures=trace.failures,
            truncated=trace.truncated,
            seconds=trace.seconds,
        )


class ExtensionAnswer(AnswerBody):
    """Extension: how the ranking came about. Present where the request has `rlpost`."""

    score_kind: ScoreKind
    """What `scores` mean; see the field `score_kind` of /v1/models."""
    scores: list[float]
    """As the method gives them, in the order of `results`; empty where it gives none."""
    degraded: bool
    """Whether the engine failed on a question, so that part of the order is that of the input."""
    version: int
    """Of the model's adapter: goes up with each one swapped in."""
    trace: TraceAnswer
    reasoning: list[str] | None = None
    """What the model wrote, call by call; with `explain`."""
