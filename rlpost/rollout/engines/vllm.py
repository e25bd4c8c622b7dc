"""The fast engine: vLLM in this process, on CPU or GPU; with its weights file, vLLM's only user.

On CPU a new policy is merged into the base in fp32 and replaces the engine's weights, which costs
nothing while sampling. On GPU (not covered by the tests, which have none) it is served as a LoRA
adapter. The settings are the measured best for small models on CPU: eager, one thread, block size
32, no separate engine process.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rankers.backends.vllm_start import (
    device_settings,
    import_llm,
    on_cpu,
    scannable_modules,
    servable_rank,
)
from rankers.errors import UserError, boundary
from rankers.model_path import resolve
from rlpost.errors import EngineError
from rlpost.models.loading import (
    Dtype,
    checkpoint_tensors,
    context_length,
    load_tokenizer,
    stop_ids,
)
from rlpost.rollout.engines.requests import check_request, completion
from rlpost.rollout.engines.vllm_weights import replace_weights
from rlpost.types import Completion, PolicyRef, Prompt, Sampling
from rlpost.weights.adapter_files import Adapter, read_adapter
from rlpost.weights.lora import merged

Sync = Literal["auto", "merged", "adapter"]

BATCHED_TOKENS = 4096
"""Tokens of one forward pass, or of the longest sequence if that has more."""


class VllmEngine:
    """Samples with vLLM; one random stream per sibling (its request's seed).

    Log-probabilities are those of the engine, at the sampling distribution; for greedy sampling, at
    temperature 1. Against transformers + PEFT on the same tokens they differ by at most 1e-5 nats
    in float32, and by 0.005 in the mean and 0.11 at most in bfloat16 (a 2.5M-parameter ranker,
    before and after a policy; larger or random models differ more: 0.12 and 0.65 at 50M).
    ``scripts/bench/engine_parity`` prints the figures of any model.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        dtype: Dtype = "float32",
        max_length: int = 1024,
        kv_cache_mb: int = 256,
        sync: Sync = "auto",
        max_lora_rank: int = 16,
        max_loras: int = 2,
        max_sequences: int = 256,
        gpu_memory_utilization: float = 0.8,
    ) -> None:
        """Start the engine with policy version 0, the model as it is.

        ``max_length`` bounds prompt plus completion; ``kv_cache_mb`` applies on CPU and
        ``gpu_memory_utilization`` on GPU, ``max_lora_rank`` and ``max_loras`` to adapter sync.
        Raises UserError when vLLM is not installed, or for merged sync in bfloat16.
        """
        self._llm_class = _import_vllm()
        self._tokenizer = load_tokenizer(model_path)
        self._stop = stop_ids(model_path, self._tokenizer)
        self._context = context_length(model_path, max_length)
        self._version = 0
        self._lora: Any = None
        self._sync = _resolve_sync(sync, dtype)
        tensors = checkpoint_tensors(model_path)
        if self._sync == "merged":
            self._base = {name: tensor.float() for name, tensor in tensors}
            self._shapes = {name: tuple(tensor.shape) for name, tensor in self._base.items()}
        else:
            self._shapes = {name: tuple(tensor.shape) for name, tensor in tensors}
        settings = device_settings(
            kv_cache_mb=kv_cache_mb, gpu_memory_utilization=gpu_memory_utilization
        )
        if self._sync == "adapter":
            settings |= {
                "enable_lora": True,
                "max_loras": max_loras,
                "max_lora_rank": servable_rank(max_lora_rank),
            }
        with boundary(EngineError, f"starting vLLM with {model_path}"), scannable_modules():
            self._llm = self._llm_class(
                model=str(resolve(model_path)),
                dtype=dtype,
                # Scoring a full sequence still has to sample one token.
                max_model_len=min(max_length + 1, context_length(model_path, None)),
                max_num_seqs=max_sequences,
                # A prompt prefilled in parts rewinds its seed's generator; CPU ones refuse.
                enable_chunked_prefill=False,
                max_num_batched_tokens=max(BATCHED_TOKENS, max_length + 1),
                enable_prefix_caching=True,
                logprobs_mode="processed_logprobs",
                generation_config="vllm",
                disable_log_stats=True,
                seed=0,
                **settings,
            )

    @property
    def version(self) -> int:
        return self._version

    def generate(
        self, prompts_P: Sequence[Prompt], *, seeds_P_G: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[list[Completion]]:
        """See ``Engine.generate``."""
        from vllm import SamplingParams

        check_request(prompts_P, seeds_P_G, sampling, context=self._context)
        requests: list[dict[str, list[int]]] = []
        params: list[Any] = []
        for prompt, seeds_G in zip(prompts_P, seeds_P_G, strict=True):
            for seed in seeds_G:
                requests.append({"prompt_token_ids": list(prompt.token_ids)})
                params.append(
                    SamplingParams(
                        temperature=sampling.temperature,
                        max_tokens=sampling.max_tokens,
                        seed=seed,
                        stop_token_ids=sorted(self._stop),
                        logprobs=0,
                        detokenize=False,
                    )
                )
        outputs = iter(self._run(requests, params))
        return [[self._completion(next(outputs)) for _ in seeds_G] for seeds_G in seeds_P_G]

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """See ``Engine.score``."""
        from vllm import SamplingParams

        if not completion_ids:
            return []
        params = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        sequence = [*prompt_ids, *completion_ids]
        [output] = self._run([{"prompt_token_ids": sequence}], [params])
        return [
            float(output.prompt_logprobs[position][sequence[position]].logprob)
            for position in range(len(prompt_ids), len(sequence))
        ]

    def load(self, policy: PolicyRef) -> None:
        """See ``Engine.load``. An engine whose load failed in vLLM itself cannot be used again."""
        adapter = read_adapter(policy, self._shapes)
        with boundary(EngineError, f"loading policy version {policy.version} into vLLM"):
            if self._sync == "merged":
                self._llm.collective_rpc(replace_weights, args=(merged(self._base, adapter),))
            else:
                self._add_adapter(policy, adapter)
            # Cached keys and values belong to the weights that computed them; vLLM does not notice.
            self._llm.reset_prefix_cache()
        self._version = policy.version

    def close(self) -> None:
        """Stop the engine and free its memory; another may be started in this process."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        cleanup_dist_env_and_memory()

    def _run(self, requests: list[dict[str, list[int]]], params: list[Any]) -> list[Any]:
        with boundary(EngineError, f"vLLM, on {len(requests)} requests"):
            outputs: list[Any] = self._llm.generate(
                requests, params, use_tqdm=False, lora_request=self._lora
            )
        if len(outputs) != len(requests):
            raise EngineError(f"vLLM answered {len(requests)} requests with {len(outputs)} outputs")
        return outputs

    def _completion(self, output: Any) -> Completion:
        [sampled] = output.outputs
        token_ids = list(sampled.token_ids)
        logprobs_T = [
            at[token].logprob for at, token in zip(sampled.logprobs, token_ids, strict=True)
        ]
        return completion(
            token_ids,
            logprobs_T,
            version=self._version,
            stop=self._stop,
            tokenizer=self._tokenizer,
            prompt_ids=output.prompt_token_ids,
        )

    def _add_adapter(self, policy: PolicyRef, adapter: Adapter) -> None:
        from vllm.lora.request import LoRARequest

        # A new name, number and path per version: the prefix cache is keyed on them, and number 0
        # is no adapter at all. Added before any request names it, where a failure is harmless.
        request = LoRARequest(
            f"policy-v{policy.version}", policy.version + 1, str(policy.path.resolve())
        )
        if not self._llm.llm_engine.add_lora(request):
            raise EngineError(f"vLLM did not take {policy.path}, of rank {adapter.manifest.rank}")
        self._lora = request


def _import_vllm() -> Any:
    if find_spec("vllm") is None:
        raise UserError(
            "vLLM is not installed: install rlpost[cpu] or rlpost[gpu], or set rollout.engine=hf"
        )
    with boundary(EngineError, "importing vLLM"):
        return import_llm()


def _resolve_sync(sync: Sync, dtype: Dtype) -> Literal["merged", "adapter"]:
    if sync == "auto":
        return "merged" if on_cpu() and dtype == "float32" else "adapter"
    if sync == "merged" and dtype == "bfloat16":
        raise UserError(
            "sync 'merged' with bfloat16 would round the training away: set sync to adapter, or "
            "dtype to float32"
        )
    return sync
