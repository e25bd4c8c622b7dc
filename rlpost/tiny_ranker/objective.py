"""The pre-training loss: the teacher's order as text, and two signals inside the model.

Two linear heads, thrown away afterwards, read hidden states: at passage tokens the weight of the
match with the query, at labels the teacher's score. They give the matching and the pooling of
matches a gradient of their own; the answer has then only to sort.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM

from rlpost.tiny_ranker.problems import IGNORED, ProblemBatch

MATCH_DEPTH = 2  # layers below the token signal
SCORE_DEPTH = 3  # layers below the label signal
SCORE_SHARPNESS = 3.0
SCORE_SCALE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Means over answer tokens, passage tokens and lists, and the share of correct answers."""

    answer: Tensor
    match: Tensor
    score: Tensor
    first_right: Tensor  # share of lists whose first label is the teacher's
    pairs_right: Tensor  # share of unequal pairs that the label signal orders as the teacher


class PretrainModel(nn.Module):
    """The model and its two throw-away heads."""

    def __init__(self, model: Qwen3ForCausalLM) -> None:
        super().__init__()
        self.model = model
        self.match_head = nn.Linear(model.config.hidden_size, 1)
        self.score_head = nn.Linear(model.config.hidden_size, 1)

    def hidden(self, tokens_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states after `MATCH_DEPTH`, after `SCORE_DEPTH` and all layers (normed)."""
        base: Any = self.model.model
        x = base.embed_tokens(tokens_BS)
        positions = torch.arange(tokens_BS.shape[1]).unsqueeze(0)
        rotary = base.rotary_emb(x, positions)
        states = []
        for layer in base.layers:
            # Right padding is harmless under a causal mask, so none is passed.
            x = layer(x, attention_mask=None, position_embeddings=rotary)
            states.append(x)
        return states[MATCH_DEPTH - 1], states[SCORE_DEPTH - 1], base.norm(x)

    def losses(self, problems: ProblemBatch, states: tuple[Tensor, Tensor, Tensor]) -> Losses:
        """All parts for one batch."""
        at_match, at_score, last = states
        answers = torch.from_numpy(problems.answers_BS)
        answered = answers != IGNORED
        logits = self.model.lm_head(last[answered]).float()
        answer = nn.functional.cross_entropy(logits, answers[answered])

        matches = torch.from_numpy(problems.matches_BS)
        in_passage = ~matches.isnan()
        guess = self.match_head(at_match[in_passage]).float().squeeze(-1)
        match = nn.functional.mse_loss(guess, matches[in_passage])

        labels = torch.from_numpy(problems.labels_BN)
        scores = torch.from_numpy(problems.scores_BN)
        present = labels >= 0
        rows = torch.arange(len(labels)).unsqueeze(1)
        guesses = self.score_head(at_score[rows, labels.clamp(min=0)]).float().squeeze(-1)
        absent = torch.finfo(torch.float32).min
        target = (SCORE_SHARPNESS * scores).masked_fill(~present, absent).softmax(-1)
        listwise = nn.functional.cross_entropy(
            (SCORE_SHARPNESS * guesses).masked_fill(~present, absent), target
        )
        score = listwise + SCORE_SCALE * nn.functional.mse_loss(guesses[present], scores[present])

        first_places = answered.float().argmax(1)
        first = (torch.cumsum(answered, 1) == 1)[answered]
        first_right = (logits.argmax(-1)[first] == answers[rows.squeeze(1), first_places]).float()
        better = (scores.unsqueeze(2) > scores.unsqueeze(1)) & (
            present.unsqueeze(2) & present.unsqueeze(1)
        )
        right = (guesses.unsqueeze(2) > guesses.unsqueeze(1))[better].float()
        return Losses(
            answer=answer,
            match=match,
            score=score,
            first_right=first_right.mean(),
            pairs_right=right.mean(),
        )
