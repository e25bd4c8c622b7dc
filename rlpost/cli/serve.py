"""The command `rlpost serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankers.errors import UserError
from rlpost.cli.options import BackendOption, DtypeOption, opt, parsed

if TYPE_CHECKING:
    from rankers.serve.settings import Settings

Config = Annotated[
    Path | None, typer.Argument(help="YAML file with the models; or --method and --model")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Overrides of the file, e.g. limits.documents=100")
]
MethodOption = Annotated[
    str | None, opt("first, listwise, setwise, pointwise ...; an unknown one lists all")
]
Model = Annotated[str | None, opt("Folder, PEFT adapter, shipped name (tiny-ranker) or hub id")]
AdapterOption = Annotated[Path | None, opt("PEFT adapter, or run folder, whose newest one answers")]
Follow = Annotated[bool, opt("Swap in newer adapters of the run folder as they come", "--follow")]
NameOption = Annotated[
    str | None, opt("What requests call the model; default: the last part of its name")
]
Alias = Annotated[list[str] | None, opt("Another name for it, such as rerank-v3.5; may repeat")]
Backend = Annotated[BackendOption | None, opt("Default: the fastest here that can do it")]
TemplateOption = Annotated[str | None, opt("Family whose prompts to use; an unknown one lists all")]
Option = Annotated[list[str] | None, opt("Option of the method: window=10, k=5 ...; may repeat")]
QueryPrompt = Annotated[str | None, opt("Before a query (bi-encoder); default: the model's own")]
PassagePrompt = Annotated[
    str | None, opt("Before a passage (bi-encoder); default: the model's own")
]
Host = Annotated[str | None, opt("Address to listen on; 0.0.0.0 for all [127.0.0.1]")]
Port = Annotated[int | None, opt("Port; 0 for a free one [8000]", min=0, max=65535)]
KeysFile = Annotated[Path | None, opt("API keys, one on each line; also from RLPOST_API_KEYS")]
LogDocuments = Annotated[bool, opt("Let the log hold the texts of requests", "--log-documents")]


def serve(
    config: Config = None,
    overrides: Overrides = None,
    method: MethodOption = None,
    model: Model = None,
    adapter: AdapterOption = None,
    follow: Follow = False,
    name: NameOption = None,
    alias: Alias = None,
    backend: Backend = None,
    template: TemplateOption = None,
    option: Option = None,
    query_prompt: QueryPrompt = None,
    passage_prompt: PassagePrompt = None,
    base_url: Annotated[str | None, opt("OpenAI-compatible endpoint, http://host:port/v1")] = None,
    dtype: Annotated[DtypeOption, opt("Of weights and arithmetic")] = "float32",
    host: Host = None,
    port: Port = None,
    keys_file: KeysFile = None,
    log_documents: LogDocuments = False,
    replicas: Annotated[int, opt("More than one: on Ray Serve", min=1)] = 1,
    keys: Annotated[bool, opt("List every key of a YAML file", "--keys")] = False,
) -> None:
    """Serve rerankers under the APIs of Cohere, Jina, vLLM and TEI, with a page at /.

    rlpost serve --method listwise --model tiny-ranker --port 8000

    A YAML file has more keys, and any number of models. SIGTERM lets requests under way finish.
    """
    from rlpost.serving.latest_adapter import newest_adapter
    from rlpost.serving.specs import settings_from, specs_of

    if keys:
        print_settings_keys()
        return
    if config is not None and "=" in config.name and not config.exists():
        config, overrides = None, [str(config), *(overrides or [])]
    given: dict[str, Any] = {"host": host, "port": port, "keys_file": keys_file}
    given |= {"log_documents": log_documents or None}
    if config is None:
        one = {"method": method, "model": model, "adapter": adapter, "follow": follow}
        one |= {"backend": backend, "template": template, "dtype": dtype, "base_url": base_url}
        named = name or _last_part(method, model or adapter)
        prompts = {"query_prompt": query_prompt, "passage_prompt": passage_prompt}
        chosen = {key: value for key, value in prompts.items() if value is not None}
        options = {"aliases": alias or [], "options": chosen | parsed(option or [])}
        given["models"] = [{"name": named, **one, **options}]
    elif any((method, model, adapter, name, alias, backend, template, option, base_url)) or not (
        query_prompt is passage_prompt is None
    ):
        raise UserError(f"{config} says what to serve: leave --method, --model and theirs out")
    present = {key: value for key, value in given.items() if value is not None}
    settings = settings_from(config, present, overrides or [])
    specs = specs_of(settings)
    if replicas > 1:
        _serve_replicas(settings, replicas)
        return
    from rankers.serve.run import run_server

    run_server(settings, specs, newest_adapter)


def _serve_replicas(settings: Settings, replicas: int) -> None:
    from workers.environment import prepare_environment

    prepare_environment(None)
    from workers.serve import serve_replicas

    try:
        serve_replicas(settings, replicas=replicas)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _last_part(method: str | None, model: str | Path | None) -> str:
    if method is None or model is None:
        raise UserError("give a YAML file, or --method with --model or --adapter")
    return Path(model).name


def print_settings_keys() -> None:
    """Every key of a serving file with its meaning."""
    from rankers.serve.settings import Settings
    from rlpost.cli.check import print_keys

    print_keys(Settings)
