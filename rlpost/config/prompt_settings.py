"""What shapes the prompts of a run: the same for training and for all that serves its policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rankers.prompting.model_families import FAMILIES, SILENT, Trained

TEMPLATES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "rerank": lambda task: str(task["template"]),
    "rank_r1": lambda task: {"0.1": "rank_r1", "0.2": "rank_r1_0.2"}[task["version"]],
    "iranker": lambda task: "iranker",
    "pg_rank": lambda task: "encoder",
}
"""``task.kind`` of a resolved config -> its template in ``rankers.prompting.model_families``."""
STUDENTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "first": lambda student: "first_compact" if student.get("template") == "compact" else "first",
    "full": lambda student: str(student["template"]),
    "e2rank": lambda student: "e2rank",
}
"""``student.kind`` of a resolved distillation -> its template in
``rankers.prompting.model_families``.
"""


def chat_options(template: str | None, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of the model's chat template: the family's, and what the user gave on top.

    Tasks without a template of ``rankers.prompting.model_families`` want answers without reasoning.
    """
    usual = SILENT if template is None else FAMILIES[template].chat_options
    return {**usual, **(given or {})}


def trained_by(config: Mapping[str, Any]) -> Trained | None:
    """How the run of a resolved config wrote its prompts; None where they are of no reranker.

    A config of the time before ``model.chat_template_kwargs`` tells of a run without options.
    """
    section = config.get("task") or config.get("student") or {}
    known = TEMPLATES if "task" in config else STUDENTS
    template_of = known.get(section.get("kind", ""))
    if template_of is None:
        return None
    shown = section if "task" in config else config
    return Trained(
        template=template_of(section),
        chat_options=config.get("model", {}).get("chat_template_kwargs") or {},
        passage_tokens=shown.get("passage_tokens"),
        query_tokens=shown.get("query_tokens"),
        candidates=shown.get("candidates"),
        query_prompt=section.get("query_prompt"),
        passage_prompt=section.get("passage_prompt"),
        answer_tokens=config.get("rollout", {}).get("max_new_tokens"),
    )
