"""Random models for backends: an encoder-decoder, and an adapter that changes every layer."""

from pathlib import Path

from tests.tiny_model import make_tokenizer


def tiny_t5_dir(folder: Path) -> Path:
    """A T5 of two layers with the tiny model's tokenizer, whose texts end with ``</s>``."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = make_tokenizer()
    tokenizer.chat_template = None
    end = tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <|im_end|>", special_tokens=[("<|im_end|>", end)]
    )
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=end,
        decoder_start_token_id=tokenizer.pad_token_id,
        initializer_factor=2.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_adapter_dir(model_path: Path, folder: Path) -> Path:
    """A PEFT adapter of rank 4 that visibly changes every linear layer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(1)
        base = AutoModelForCausalLM.from_pretrained(model_path)
        model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    return folder
