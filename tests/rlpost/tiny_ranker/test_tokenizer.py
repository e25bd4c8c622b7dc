"""The tokenizer: labels are single tokens, answers survive a round trip, equal words are equal."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rankers.prompting.parsing import parse_permutation
from rankers.prompting.templates import cut, listwise_answer, listwise_messages
from rlpost.models.loading import render
from rlpost.tiny_ranker.tokenizer import MAX_LABEL, label, train_tokenizer
from rlpost.types import Message

TEXTS = [
    "Query: parse a server log\nThe parser reads the log of the server.",
    "Ranking: [2] > [1] user assistant",
    "Return the number of items in a sorted list, or raise an error where it is empty.",
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(TEXTS, vocab_size=400)


def pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    encoded = tokenizer(text)["input_ids"]
    assert isinstance(encoded, list)
    return [str(tokenizer.convert_ids_to_tokens(piece)) for piece in encoded]


def test_labels_are_single_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    labels = [label(number) for number in range(1, MAX_LABEL + 1)]
    assert pieces(tokenizer, "".join(labels)) == labels
    assert pieces(tokenizer, "log [3]\nlog") == ["log", "[3]", "\n", "log"]


def test_an_answer_survives_the_round_trip(tokenizer: PreTrainedTokenizerBase) -> None:
    order = [3, 0, 9, 1, 2, 4, 8, 5, 7, 6]
    ids = tokenizer(listwise_answer(order))["input_ids"]
    assert len(ids) == 2 * len(order) - 1
    text = tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True)
    assert text == listwise_answer(order)
    parsed = parse_permutation(text, len(order))
    assert list(parsed.order) == order
    assert parsed.well_formed


@pytest.mark.parametrize("text", ["LogParser", "log_parser", " log\tPARSER", "Log-Parser"])
def test_a_word_has_the_same_tokens_wherever_it_stands(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    joiners = {*pieces(tokenizer, "_"), *pieces(tokenizer, "-")}
    words = [piece for piece in pieces(tokenizer, text) if piece not in joiners]
    assert words == pieces(tokenizer, "log") + pieces(tokenizer, "parser")


def test_cutting_counts_tokens_and_keeps_a_prefix(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "LogParser: reads caf\u00e9 logs, returns sorted_list_items of the Server in order"
    for limit in range(1, len(tokenizer(text)["input_ids"]) + 1):
        short = cut(text, tokenizer, limit)
        assert text.startswith(short)
        assert 0 < len(tokenizer(short)["input_ids"]) <= limit


def test_a_conversation_is_rendered_in_turns(tokenizer: PreTrainedTokenizerBase) -> None:
    (turn,) = listwise_messages("sorted log", ["the log", "a server"])
    ids = render(tokenizer, [Message(role="user", content=turn["content"])])
    expected = (
        "<|im_start|> user \n query : sorted log \n the log [1] \n a server [2] \n ranking : "
        "<|im_end|> \n <|im_start|> assistant \n"
    )
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    assert "".join(t.removeprefix("##") for t in tokens) == expected.replace(" ", "")
    whole = tokenizer.apply_chat_template(
        [turn, {"role": "assistant", "content": "[2] > [1]"}], return_dict=False
    )
    assert tuple(whole[: len(ids)]) == ids
    assert tokenizer.convert_ids_to_tokens(whole[len(ids) :])[:4] == [
        "[2]",
        ">",
        "[1]",
        "<|im_end|>",
    ]


def test_saved_and_loaded_it_is_the_same(
    tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    loaded = AutoTokenizer.from_pretrained(folder)
    text = "<|im_start|>user\nQuery: LogParser\n[2] > [1]<|im_end|>"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")
