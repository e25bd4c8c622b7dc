"""The tokenizer of the tiny ranker: lower case, equal words give equal tokens wherever they stand.

Words are cut at white space, punctuation, underscores, digits and camelCase humps before byte-pair
merges, so `MyParser`, `my_parser` and `my parser` share their tokens and a model has only to
compare identities to find a match. Labels "[1]".."[20]" are single tokens. Words are decoded with
spaces between them, but for the tags of reasoning, which come back as they are written.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

VOCAB_SIZE = 8192
MAX_LENGTH = 2048
MAX_LABEL = 20
TAGS = {
    "< think >": "<think>",
    "< / think >": "</think>",
    "< answer >": "<answer>",
    "< / answer >": "</answer>",
}
"""Tags as their pieces are decoded, and as they are written."""
END_OF_TEXT, TURN_START, TURN_END, UNKNOWN = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|unk|>",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def label(number: int) -> str:
    """The identifier of the passage at a 1-based position."""
    return f"[{number}]"


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int = VOCAB_SIZE
) -> PreTrainedTokenizerFast:
    """Learn byte-pair merges on `texts`; deterministic for a given sequence of texts."""
    tokenizer = Tokenizer(BPE(unk_token=UNKNOWN, continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"(?<=[a-z0-9])(?=[A-Z])"), " "),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=False)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=False),
            decoders.Fuse(),
            *(decoders.Replace(apart, tag) for apart, tag in TAGS.items()),
        ]
    )
    specials = [END_OF_TEXT, TURN_START, TURN_END, UNKNOWN]
    labels = [label(number) for number in range(1, MAX_LABEL + 1)]
    plain = [AddedToken(text, normalized=False) for text in ["\n", *labels]]
    trainer = BpeTrainer(
        vocab_size=vocab_size - len(plain),
        special_tokens=specials,
        continuing_subword_prefix="##",
        limit_alphabet=200,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(plain)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
