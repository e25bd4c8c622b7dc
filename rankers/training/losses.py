"""Losses that train a ranker on a teacher's order: pairwise, listwise, contrastive, token-weighted.

``_B`` lists of a batch, ``_K`` candidates of a list, ``_D`` embedding dimensions, ``_T`` tokens.
Every loss is the mean over the lists of the batch of the loss of one list, so batching changes
nothing; tied scores are pairs like any other. Imports torch, so the package does not import it.
"""

import torch
from torch import Tensor
from torch.nn import functional


def ranknet(scores_BK: Tensor, ranks_BK: Tensor, *, weighted: bool = False) -> Tensor:
    """Mean over the K(K-1)/2 pairs of softplus(-(s_better - s_worse)), then over lists.

    ``ranks_BK`` is the teacher's rank of each candidate from 1, distinct within a list.
    ``weighted`` divides each pair by rank_better + rank_worse, as FIRST does (arXiv 2406.15657;
    by its code: the formula printed there has its indices swapped). The released loss drops pairs
    of exactly tied scores and mixes up the ranks of lists after the first; this one does neither.
    """
    better_BKK = ranks_BK[:, :, None] < ranks_BK[:, None, :]
    pairs_BKK = functional.softplus(scores_BK[:, None, :] - scores_BK[:, :, None])
    if weighted:
        pairs_BKK = pairs_BKK / (ranks_BK[:, :, None] + ranks_BK[:, None, :])
    sums_B = (pairs_BKK * better_BKK).sum(dim=(1, 2))
    return (sums_B / better_BKK.sum(dim=(1, 2)).clamp(min=1)).mean()


def first_joint(
    lm_nll: Tensor, scores_BK: Tensor, ranks_BK: Tensor, *, weight: float = 10.0
) -> Tensor:
    """FIRST's objective: the language-modelling loss + ``weight`` x weighted RankNet."""
    return lm_nll + weight * ranknet(scores_BK, ranks_BK, weighted=True)


def listnet(scores_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """Cross entropy of softmax(scores) against softmax(targets), mean over lists.

    FIRST's release takes a target of exactly -1 for padding; here every target counts.
    """
    return -(targets_BK.softmax(dim=1) * scores_BK.log_softmax(dim=1)).sum(dim=1).mean()


def lambdarank(scores_BK: Tensor, gains_BK: Tensor) -> Tensor:
    """LambdaLoss with NDCG-Loss2 weights (Wang et al., CIKM 2018, eq. 18), in bits.

    Mean over the pairs of a list whose gains differ of
    -|G_i - G_j| x |1/D(|i-j|) - 1/D(|i-j|+1)| x log2 sigmoid(s_i - s_j), with i the better one,
    G = (2^gain - 1) / ideal DCG (negative gains count as 0), D(r) = log2(1 + r), and |i-j| the
    distance of their positions in the order of the scores.
    """
    order_BK = scores_BK.argsort(dim=1, descending=True)
    scores_BK = scores_BK.gather(1, order_BK)
    gains_BK = gains_BK.gather(1, order_BK)
    better_BKK = gains_BK[:, :, None] > gains_BK[:, None, :]
    num = scores_BK.shape[1]
    discounts_K = 1 / torch.log2(torch.arange(2, num + 3, device=scores_BK.device).float())
    powers_BK = 2.0 ** gains_BK.clamp(min=0) - 1
    ideal_B1 = (powers_BK.sort(dim=1, descending=True).values * discounts_K[:num]).sum(1, True)
    G_BK = powers_BK / ideal_B1.clamp(min=1e-10)
    positions_K = torch.arange(num, device=scores_BK.device)
    distances_KK = (positions_K[:, None] - positions_K[None, :]).abs().clamp(min=1)
    deltas_KK = (discounts_K[distances_KK - 1] - discounts_K[distances_KK]).abs()
    weights_BKK = (G_BK[:, :, None] - G_BK[:, None, :]).abs() * deltas_KK
    bits_BKK = functional.softplus(scores_BK[:, None, :] - scores_BK[:, :, None]) / torch.log(
        torch.tensor(2.0)
    )
    sums_B = (weights_BKK * bits_BKK * better_BKK).sum(dim=(1, 2))
    return (sums_B / better_BKK.sum(dim=(1, 2)).clamp(min=1)).mean()


def info_nce(
    queries_BD: Tensor, docs_BKD: Tensor, positives_B: Tensor, *, temperature: float = 0.03
) -> Tensor:
    """Cross entropy of each query's positive against all documents of the batch.

    Embeddings are normalised here; ``positives_B`` is the position of the positive in its list.
    """
    lists, num, _ = docs_BKD.shape
    queries = functional.normalize(queries_BD, dim=-1)
    docs = functional.normalize(docs_BKD, dim=-1).flatten(0, 1)
    targets = positives_B + num * torch.arange(lists, device=positives_B.device)
    return functional.cross_entropy(queries @ docs.T / temperature, targets)


def e2rank_joint(
    queries_BD: Tensor,
    listwise_BD: Tensor,
    docs_BKD: Tensor,
    ranks_BK: Tensor,
    *,
    temperature: float = 0.03,
    scale: float = 10.0,
    factor: float = 2.0,
) -> Tensor:
    """E2Rank (arXiv 2510.22733): InfoNCE of the plain queries + 2 x RankNet of the listwise ones.

    ``listwise_BD`` are the embeddings of the listwise prompts; their scores are ``scale`` x cosine.
    The InfoNCE positive is the document the teacher ranks first.
    """
    contrastive = info_nce(queries_BD, docs_BKD, ranks_BK.argmin(dim=1), temperature=temperature)
    cosines_BK = functional.cosine_similarity(listwise_BD[:, None, :], docs_BKD, dim=-1)
    return contrastive + factor * ranknet(scale * cosines_BK, ranks_BK)


def importance_weights(labels_T: Tensor, separator_id: int) -> Tensor:
    """Token weights of full ranking (arXiv 2412.14574): 1 + 1/log2(r + 1) at rank r, from 1.

    Ranks are counted by separators in the label; a separator itself weighs 1.
    """
    separators_T = labels_T == separator_id
    ranks_T = separators_T.cumsum(dim=0) + 1
    weights_T = 1 + 1 / torch.log2(ranks_T.float() + 1)
    return weights_T.masked_fill(separators_T, 1.0)


def importance_nll(nll_T: Tensor, labels_T: Tensor, separator_id: int) -> Tensor:
    """Weighted sum of token losses over the *number* of tokens, not over the sum of weights."""
    return (nll_T * importance_weights(labels_T, separator_id)).sum() / len(nll_T)
