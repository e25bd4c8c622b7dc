"""Every loss, mask and weight in the golden file is compared with ours, or named here with a
reason.
"""

from pathlib import Path

import pytest

from tests.golden import golden, needs_golden
from tests.rlpost.credit import test_effective_rank, test_verl
from tests.rlpost.objective import test_importance_weights, test_losses, test_rejection_masks

COVERED = {
    "trl_loss": {
        *test_losses.TRL,
        *(f"dapo_vllm_{name}" for name in test_importance_weights.TRL_WEIGHTS),
        "dapo_num_items_50_ga4",
        "grpo_ga4",
        "dapo_first_step_old_none",
        "grpo_token_beta0.04_k3",
        "grpo_token_beta0.04_k3_biascorrected",
        "dapo_opsm0.02",
        "dapo_topentropy0.4",
        "vespo_vllm_token_truncate",
    },
    "trl_is_ratio": {*test_importance_weights.TRL_WEIGHTS},
    "verl_loss": {
        *test_losses.VERL,
        "vanilla_seq-mean-token-sum-norm",
        "vanilla_token-mean_with_is_token",
        "vanilla_token-mean_with_is_sequence",
    },
    "verl_rollout_corr": {
        *test_rejection_masks.VERL_KEPT,
        *(f"is_{level}_thr2.0_bn{b}" for level in ("token", "sequence") for b in (True, False)),
    },
    "areal": {
        *test_losses.AREAL,
        *test_importance_weights.AREAL_WEIGHTS,
        "decoupled_seq_mask_klk3_mean0.05",
    },
    "verl_er": {
        *test_effective_rank.MATRICES,
        "identity_rows_n8",
        "rank1",
        "len1",
        "short_lt_2stride",
    },
    "verl_shaping": {
        *test_verl.RELEASED,
        "paper_formula_sequence_level_independent",
        "metrics",
        "attention_mask",
        "prompt_len",
    },
}
NOT_COVERED = {
    "trl_loss": {
        "luspo_seq_eps0.2_beta0.04": "TRL averages the KL over padding here; ours knows no padding",
    },
    "areal": {"_roles": "a comment"},
    "verl_er": {
        "gram_fp32_vs_svd_maxabs_diff_illconditioned": "an error of theirs on an input not given",
        "gram_fp32_vs_svd_maxabs_diff_large_mean50": "an error of theirs on an input not given",
    },
    "verl_shaping": {
        "released_config_add_reward_False": "the released flags switch the method off",
        "scores": "advantages are given",
        "mids_update_uses": "a comment",
    },
}

ELSEWHERE = {
    "trl_advantages": "credit/test_advantages.py",
    "zero_variance_phantom_advantage": "credit/test_advantages.py",
    "verl_grpo_adv": "credit/test_advantages.py",
    "overlong": "credit/test_reward_transforms.py",
    "unlikeliness": "credit/test_reward_transforms.py",
    "verl_kl": "objective/test_kl.py",
    "verl_kl_grad": "objective/test_kl.py",
    "areal_m2po": "objective/test_rejection_masks.py",
    "rankgrpo_reward": "tasks/recommendation/test_recommend.py",
    "rankgrpo_eval": "tasks/recommendation/test_recommend.py",
    "rankgrpo_trainer": "credit/test_rank_advantages.py",
    "rankgrpo_length_shaping": "credit/test_rank_advantages.py",
    "sparsity": "diagnostics/test_sparsity.py",
    "fixture": "../golden.py",
}
"""Sections that a test file reads whole."""
NO_SECTION = {
    "areal_prox_approx": "not offered: the proximal policy is computed, not interpolated",
    "tfgrpo": "no such method here",
    "eggroll": "no such method here",
    "_readme": "a comment",
}


@needs_golden
def test_no_section_is_left_out_silently() -> None:
    for section, reason in NO_SECTION.items():
        print(f"not covered: {section}: {reason}")
    assert {*COVERED, *ELSEWHERE, *NO_SECTION} == golden().keys()
    for section, name in ELSEWHERE.items():
        assert f'"{section}"' in (Path(__file__).parent / name).read_text("utf-8"), name


@needs_golden
@pytest.mark.parametrize("section", COVERED)
def test_nothing_is_left_out_silently(section: str) -> None:
    reasons = NOT_COVERED.get(section, {})
    for name, reason in reasons.items():
        print(f"not covered: {section}/{name}: {reason}")
    assert COVERED[section].isdisjoint(reasons)
    assert COVERED[section] | reasons.keys() == golden()[section].keys()
