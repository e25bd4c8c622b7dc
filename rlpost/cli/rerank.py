"""The command `rlpost rerank`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from rlpost.cli.options import (
    BackendOption,
    CountOption,
    DtypeOption,
    IdenticalIdsOption,
    opt,
    parsed,
)

Kept = Literal["all", "judged"]


Words = str | None


def rerank(
    method: Annotated[str, opt("first, listwise, setwise, pointwise ...; an unknown lists all")],
    model: Annotated[str, opt("Folder, PEFT adapter, shipped name (tiny-ranker) or hub id")],
    run: Annotated[Path, opt("TREC run, or JSONL of queries with passages, to rerank")],
    out: Annotated[Path, opt("Where the reranked run goes: .jsonl for JSON lines, else TREC")],
    dataset: Annotated[str | None, opt("Collection that has the texts of a TREC run")] = None,
    split: Annotated[str, opt("Split of the collection: what an evaluation leaves out")] = "test",
    identical_ids: IdenticalIdsOption = "auto",
    queries: Annotated[Kept, opt("All queries of the run, or those that the split judges")] = "all",
    depth: Annotated[int, opt("Passages of each query to rerank and to write", min=1)] = 100,
    limit: Annotated[CountOption, opt("Only the first so many queries", min=1)] = None,
    resume: Annotated[bool, opt("Go on where a killed one stopped", "--resume")] = False,
    overwrite: Annotated[bool, opt("Start over where OUT or a trace is", "--overwrite")] = False,
    strict: Annotated[bool, opt("Stop on the first engine failure", "--strict")] = False,
    backend: Annotated[
        BackendOption | None, opt("Default: the fastest here that can do it")
    ] = None,
    template: Annotated[Words, opt("Family whose prompts to use; an unknown one lists all")] = None,
    window: Annotated[CountOption, opt("Passages per prompt (listwise, first; 20)")] = None,
    step: Annotated[CountOption, opt("Places by which windows move (listwise, first; 10)")] = None,
    k: Annotated[CountOption, opt("How many of the top are sorted (setwise, pairwise; 10)")] = None,
    seed: Annotated[int, opt("Of the methods that shuffle")] = 0,
    query_prompt: Annotated[Words, opt("Before a query (bi-encoder; the model's own)")] = None,
    passage_prompt: Annotated[Words, opt("Before a passage (bi-encoder; the model's own)")] = None,
    option: Annotated[
        list[str] | None, opt("Another option of the method: num_children=19, sort=bubblesort ...")
    ] = None,
    passage_tokens: Annotated[CountOption, opt("Cut passages to so many tokens", min=1)] = None,
    max_length: Annotated[CountOption, opt("Tokens of a prompt with its answer", min=1)] = None,
    dtype: Annotated[DtypeOption, opt("Of weights and arithmetic")] = "float32",
    at_once: Annotated[int, opt("Queries ranked together, in lock-step or over HTTP", min=1)] = 32,
    base_url: Annotated[str | None, opt("OpenAI-compatible endpoint, http://host:port/v1")] = None,
    vllm_server: Annotated[bool, opt("The endpoint is a vLLM server", "--vllm-server")] = False,
    timeout: Annotated[float, opt("Seconds for one request to the endpoint")] = 120.0,
    tokenizer: Annotated[str | None, opt("Model folder to measure the endpoint's prompts")] = None,
) -> None:
    """Rerank a run with a model; ends with what it cost and how often answers were malformed.

    Finished queries go to OUT's .trace.jsonl; OUT itself appears, whole, when all are done.
    """
    from rankers.methods.by_name import RerankerSpec
    from rankers.reranking.run import RerankJob, run_rerank_job
    from rlpost.serving.model_spec import located

    server = {"base_url": base_url, "vllm_server": vllm_server, "timeout_s": timeout}
    source = located(model, backend, {**server, "concurrency": at_once}, tokenizer)
    options: dict[str, object] = {"window": window, "step": step, "k": k, "seed": seed}
    options |= {"query_prompt": query_prompt, "passage_prompt": passage_prompt}
    spec = RerankerSpec(
        method=method,
        model=replace(source, max_length=max_length, dtype=dtype),
        backend=backend,
        template=template,
        options=options | parsed(option or []),
        depth=depth,
        passage_tokens=passage_tokens,
    )
    job = RerankJob(spec=spec, run=run, out=out, dataset=dataset, split=split, limit=limit)
    job = replace(job, identical_ids=identical_ids, queries=queries)
    run_rerank_job(replace(job, resume=resume, overwrite=overwrite, strict=strict, at_once=at_once))
