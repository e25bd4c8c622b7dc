"""How the shipped model came about, where it lies, and the short warm start before RL."""

from pathlib import Path

SHIPPED_NAME = "tiny-ranker"


def shipped_model() -> Path:
    """The folder of the model that comes with the package, in `save_pretrained` layout."""
    return Path(__file__).resolve().parent.parent / "assets" / SHIPPED_NAME


def resolve_model_path(name: str) -> str:
    """`name` as transformers and vLLM take it: the shipped model's folder for "tiny-ranker"."""
    return str(shipped_model()) if name == SHIPPED_NAME else name
