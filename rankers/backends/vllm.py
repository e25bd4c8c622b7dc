"""The backend on vLLM, in this process: the fast one, on CPU or GPU.

Prompts of one call are batched by the engine, and what they have in common (system prompt, query,
the head of a window that did not move) is computed once: prefix caching is on.
"""

from __future__ import annotations

import copy
import gc
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rankers.backends.rendering import Given, Renderer, answer_fitting
from rankers.backends.vllm_start import (
    device_settings,
    import_llm,
    scannable_modules,
    servable_rank,
)
from rankers.backends.weights import check_causal
from rankers.errors import BackendError, DataError, NoEngineError, backend_boundary
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores, Likelihood, TextCompletion

MOST_LABELS = 128
"""What vLLM 0.32 takes as ``logprob_token_ids``."""


class VllmBackend:
    """Greedy answers, exact log-probabilities of labels and of given answers.

    In float32 they are those of ``HfBackend`` up to 1e-5 nats. An engine whose call failed inside
    vLLM cannot be used again.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        adapter: Path | None = None,
        dtype: str = "float32",
        max_length: int | None = None,
        kv_cache_mb: int = 512,
        gpu_memory_utilization: float = 0.8,
        chat_options: Mapping[str, object] | None = None,
    ) -> None:
        """``adapter``: a PEFT folder, applied to every prompt. ``kv_cache_mb`` counts on CPU,
        ``gpu_memory_utilization`` on GPU; the rest is as in ``Renderer``.

        Raises NoEngineError when vLLM is not installed, or does not run the model.
        """
        if find_spec("vllm") is None:
            raise NoEngineError("vLLM is not installed: install rlpost[cpu] or rlpost[gpu]")
        self._renderer = Renderer(model_path, chat_options=chat_options, max_length=max_length)
        if self._renderer.encoder_decoder:
            raise NoEngineError(
                f"vLLM does not run {model_path}, an encoder-decoder: use HfBackend"
            )
        self._model_path = model_path
        with backend_boundary(f"reading {model_path}"):
            check_causal(model_path, adapter)
        with backend_boundary("importing vLLM"):
            llm_class = import_llm()
            settings = device_settings(
                kv_cache_mb=kv_cache_mb, gpu_memory_utilization=gpu_memory_utilization
            )
        self._lora: Any = None
        self._rank = 0 if adapter is None else servable_rank(_rank_of(adapter))
        if adapter is not None:
            settings |= {"enable_lora": True, "max_lora_rank": self._rank}
        with backend_boundary(f"starting vLLM with {model_path}"), scannable_modules():
            self._llm = llm_class(
                model=str(model_path),
                dtype=dtype,
                max_model_len=self._renderer.context,
                enable_prefix_caching=True,
                generation_config="vllm",
                disable_log_stats=True,
                seed=0,
                **settings,
            )
            if adapter is not None:
                self._add(adapter, 1)

    def with_adapter(self, adapter: Path) -> VllmBackend:
        """This engine answering with another adapter; both can be used, call by call.

        Raises DataError where the engine was started for no adapter, or for smaller ones.
        """
        if self._lora is None:
            raise DataError("vLLM was started without an adapter: start it with one to swap it")
        if _rank_of(adapter) > self._rank:
            raise DataError(
                f"{adapter} has rank {_rank_of(adapter)} and vLLM was started for at most "
                f"{self._rank}: start it with this adapter"
            )
        other = copy.copy(self)
        with backend_boundary(f"loading the adapter {adapter}"):
            check_causal(self._model_path, adapter)
            other._add(adapter, self._lora.lora_int_id + 1)
        return other

    @property
    def chat_tokenizer(self) -> Renderer:
        """The model's tokenizer and template, for a budget."""
        return self._renderer

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion | BackendError]:
        """See ``Backend.complete``."""
        return answer_fitting(
            self._renderer.prompts(chats, room=max_tokens),
            lambda prompts: self._complete(prompts, max_tokens),
        )

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores | BackendError]:
        """See ``LabelBackend.label_logprobs``. Raises DataError on a label of several tokens."""
        if len(labels) > MOST_LABELS:
            raise ValueError(f"vLLM scores at most {MOST_LABELS} labels, got {len(labels)}")
        start, label_ids = self._renderer.label_ids(labels, primer)
        return answer_fitting(
            # One token is sampled, though nobody reads it.
            self._renderer.prompts(chats, room=1, primer=start),
            lambda prompts: self._label_scores(prompts, label_ids),
        )

    def likelihoods(
        self, chats: Sequence[Sequence[ChatMessage]], *, answers: Sequence[str]
    ) -> list[Likelihood | BackendError]:
        """See ``LikelihoodBackend.likelihoods``."""
        return answer_fitting(self._renderer.given(chats, answers), self._likelihoods)

    def close(self) -> None:
        """Stop the engine and free its memory; another may be started in this process."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        cleanup_dist_env_and_memory()

    def _complete(self, prompts: list[list[int]], max_tokens: int) -> list[TextCompletion]:
        outputs = self._run(
            prompts,
            max_tokens=max_tokens,
            stop_token_ids=sorted(self._renderer.stop),
        )
        answers = [output.outputs[0].token_ids for output in outputs]
        return [
            TextCompletion(
                text=self._renderer.answer(prompt, answer),
                prompt_tokens=len(prompt),
                generated_tokens=len(answer),
            )
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def _label_scores(
        self, prompts: list[list[int]], label_ids: Sequence[int]
    ) -> list[LabelScores]:
        outputs = self._run(prompts, max_tokens=1, logprob_token_ids=list(label_ids))
        tables = [output.outputs[0].logprobs[0] for output in outputs]
        return [
            LabelScores(
                logprobs=tuple(table[label].logprob for label in label_ids),
                prompt_tokens=len(prompt),
            )
            for prompt, table in zip(prompts, tables, strict=True)
        ]

    def _likelihoods(self, pairs: list[Given]) -> list[Likelihood]:
        sequences = [[*pair.prompt, *pair.answer] for pair in pairs]
        outputs = self._run(sequences, max_tokens=1, prompt_logprobs=0)
        return [
            Likelihood(
                logprobs_T=tuple(
                    output.prompt_logprobs[position][sequence[position]].logprob
                    for position in range(len(pair.prompt), len(sequence))
                ),
                prompt_tokens=len(pair.prompt),
            )
            for pair, sequence, output in zip(pairs, sequences, outputs, strict=True)
        ]

    def _run(self, prompts: Sequence[list[int]], **params: Any) -> list[Any]:
        from vllm import SamplingParams

        with backend_boundary(f"vLLM, on {len(prompts)} prompts"):
            outputs: list[Any] = self._llm.generate(
                [{"prompt_token_ids": prompt} for prompt in prompts],
                SamplingParams(temperature=0.0, detokenize=False, **params),
                use_tqdm=False,
                lora_request=self._lora,
            )
        if len(outputs) != len(prompts):
            raise BackendError(f"vLLM answered {len(prompts)} prompts with {len(outputs)} outputs")
        return outputs

    def _add(self, adapter: Path, number: int) -> None:
        from vllm.lora.request import LoRARequest

        # A name of its own: the prefix cache is keyed on it.
        request = LoRARequest(f"adapter-{number}", number, str(adapter.resolve()))
        if not self._llm.llm_engine.add_lora(request):
            raise BackendError(f"vLLM did not take the adapter {adapter}")
        self._lora = request


def _rank_of(adapter: Path) -> int:
    return int(json.loads((adapter / "adapter_config.json").read_text())["r"])
