"""Chunked log-probabilities and entropies equal the naive ones, gradients included."""

import pytest
import torch

from rlpost.batch.chunked_logprobs import Shape, token_logprobs

T, D, V = 37, 16, 101


def inputs(dtype=torch.float64):
    torch.manual_seed(0)
    hidden = torch.randn(T, D, dtype=dtype, requires_grad=True)
    head = torch.randn(V, D, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, V, (T,))
    return hidden, head, targets


def naive(hidden, head, targets, temperature):
    logp = (hidden @ head.T / temperature).log_softmax(dim=1)
    return logp.gather(1, targets[:, None])[:, 0], -(logp.exp() * logp).sum(dim=1)


@pytest.mark.parametrize("chunk_elements", [1, V * 5, V * 36, V * 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (1.0, 0.3)])
def test_values_and_gradients(chunk_elements, temperature, weights) -> None:
    results = []
    for function in (
        lambda h, w, t: token_logprobs(
            h, w, t, temperature=temperature, chunk_elements=chunk_elements
        ),
        lambda h, w, t: naive(h, w, t, temperature),
    ):
        hidden, head, targets = inputs()
        logprobs, entropy = function(hidden, head, targets)
        mix = torch.linspace(-1, 2, T, dtype=torch.float64)
        loss = sum(w * (x * mix).sum() for w, x in zip(weights, (logprobs, entropy), strict=True))
        loss.backward()
        results.append((logprobs, entropy, hidden.grad, head.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("shape", [Shape(0.25), Shape(1.0, 3.0), Shape(2.0, 5.0)])
@pytest.mark.parametrize("biased", [False, True])
def test_values_and_gradients_of_scaled_capped_and_biased_logits(shape, biased) -> None:
    def plain(hidden, head, targets, bias):
        logits = (hidden @ head.T + (0 if bias is None else bias)) * shape.scale
        if shape.soft_cap:
            logits = shape.soft_cap * torch.tanh(logits / shape.soft_cap)
        logp = (logits / 0.6).log_softmax(dim=1)
        return logp.gather(1, targets[:, None])[:, 0], -(logp.exp() * logp).sum(dim=1)

    def chunked(hidden, head, targets, bias):
        return token_logprobs(
            hidden,
            head,
            targets,
            temperature=0.6,
            chunk_elements=V * 5,
            bias_V=bias,
            shape=shape,
        )

    results = []
    for function in (chunked, plain):
        hidden, head, targets = inputs()
        bias = torch.linspace(-2, 1, V, dtype=torch.float64).requires_grad_() if biased else None
        logprobs, entropy = function(hidden, head, targets, bias)
        mix = torch.linspace(-1, 2, T, dtype=torch.float64)
        ((logprobs + 0.3 * entropy) * mix).sum().backward()
        results.append((logprobs, entropy, hidden.grad, head.grad, bias.grad if biased else mix))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-9)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, head, targets = inputs()
    head.requires_grad_(False)
    token_logprobs(hidden, head, targets)[0].sum().backward()
    assert head.grad is None
    assert hidden.grad is not None


def test_softmax_is_float32_for_bfloat16_models() -> None:
    hidden, head, targets = inputs(torch.bfloat16)
    logprobs, entropy = token_logprobs(hidden, head, targets)
    assert logprobs.dtype == entropy.dtype == torch.float32
    logprobs.sum().backward()
    assert hidden.grad.dtype == torch.bfloat16


def test_no_tokens_is_no_error() -> None:
    hidden, head, targets = inputs()
    logprobs, entropy = token_logprobs(hidden[:0], head, targets[:0])
    assert logprobs.shape == entropy.shape == (0,)
    logprobs.sum().backward()
    assert hidden.grad.abs().sum() == 0
