"""Loading, splitting and adapting (LoRA) of transformers of any architecture."""

from __future__ import annotations

import copy
import inspect
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from picme.config.encoders import model_path
from picme.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from picme.config.encoders import TransformerEncoder

# Names of the linear layers that compute queries and values (fused with keys in some architectures). The first set
# that a model has is adapted: BERT and RoBERTa, DistilBERT, LLaMA-like, ModernBERT, ViT-like, T5-like.
ATTENTION = (
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("q_proj", "v_proj"),
    ("query_proj", "value_proj"),
    ("Wqkv",),
    ("qkv",),
    ("query_key_value",),
    ("in_proj",),
    ("q", "v"),
)


def load_transformer(config: TransformerEncoder) -> nn.Module:
    """Load the model without its pooler, from a folder (never the network), an installed package or the hub.

    Raises:
        ConfigError: if there is no such model, the folder holds none, or it has too few positions.
    """
    import transformers
    from safetensors import SafetensorError

    path = model_path(config.model)
    if path is not None and not (path / "config.json").is_file():
        raise ConfigError(f"{path} holds no config.json: expected the folder of a transformers checkpoint")
    name = str(path or config.model)
    # The local cache is tried before the hub: it is faster, and works without a network.
    sources: list[dict[str, Any]] = [{"revision": None if path else config.revision, "local_files_only": True}]
    if path is None:
        sources.append({"revision": config.revision})
    with quiet():
        for source in sources:
            try:
                settings = transformers.AutoConfig.from_pretrained(name, **source)
                kind = transformers.AutoModel._model_mapping[type(settings)]
                kind = kind[0] if isinstance(kind, tuple) else kind
                pooler = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
                extra = {"add_pooling_layer": False} if pooler else {}
                model: nn.Module = kind.from_pretrained(name, **source, **extra)
                break
            except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
                failure = error
        else:
            where = f"folder {path}" if path else f"model {config.model!r}"
            raise ConfigError(
                f"{where} cannot be loaded as a transformer ({_first_line(failure)}): expected a hub name in "
                "reach or in the local cache, or a folder with config.json and weights"
            ) from failure
    model = model.float()
    check_length(model, config.max_length, config.model)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress progress bars, advice and messages about retries while a model is loaded.

    A failure is reported by one error instead.
    """
    import huggingface_hub
    from transformers.utils import logging

    bar, level, hub = (
        logging.is_progress_bar_enabled(),
        logging.get_verbosity(),
        huggingface_hub.logging.get_verbosity(),
    )
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    huggingface_hub.logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        huggingface_hub.logging.set_verbosity(hub)
        if bar:
            logging.enable_progress_bar()


def check_length(model: Any, max_length: int, name: str) -> None:
    """Check that the model has positions for `max_length` tokens.

    Raises:
        ConfigError: if it has fewer.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if positions is None:
        return
    # RoBERTa counts positions from after the padding index.
    padding = getattr(table, "padding_idx", None)
    offset = 0 if padding is None else padding + 1
    if max_length > positions - offset:
        raise ConfigError(f"max_length is {max_length}, but model {name!r} has {positions - offset} positions")


def hidden_size(model: Any) -> int:
    """Return the size of the model's token vectors."""
    return int(getattr(model.config, "hidden_size", None) or model.config.dim)


class PassThrough(nn.Module):
    """Replacement for the embeddings of a model whose lower layers have run already; it returns its input."""

    def forward(  # noqa: D102
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor:
        if inputs_embeds is None:
            raise ValueError("the upper layers of a cut transformer take inputs_embeds")
        return inputs_embeds


def split_layers(model: nn.Module, cut: int) -> tuple[nn.Module, nn.Module]:
    """Split a transformer below layer `cut` into two models of its class, so that upper(lower(x)) equals the whole.

    The lower part has the embeddings and the layers below the cut, and no final normalisation; the upper part has the
    rest.

    Raises:
        ConfigError: if the architecture has no list of layers, or fewer than `cut` + 1.
    """
    name, layers = layer_list(model)
    if cut >= len(layers):
        raise ConfigError(f"lora_from_layer is {cut}, but the model has {len(layers)} layers (0 to {len(layers) - 1})")
    lower, upper = copy.copy(model), copy.copy(model)
    for part in (lower, upper):
        _own_modules(part, name)
    parent, _, leaf = name.rpartition(".")
    setattr(lower.get_submodule(parent), leaf, nn.ModuleList(layers[:cut]))
    setattr(upper.get_submodule(parent), leaf, nn.ModuleList(layers[cut:]))
    for final in ("final_norm", "norm"):
        if isinstance(getattr(lower, final, None), nn.Module):
            setattr(lower, final, nn.Identity())
    if not isinstance(getattr(model, "embeddings", None), nn.Module):
        raise ConfigError(f"a {type(model).__name__} cannot be cut between layers: use lora_from_layer 0")
    upper.embeddings = PassThrough()
    return lower, upper


def _own_modules(part: nn.Module, name: str) -> None:
    """Copy the modules on the way to the list of layers (not their parameters), so that each part has its own."""
    part._modules = dict(part._modules)
    node = part
    for step in name.split(".")[:-1]:
        child = copy.copy(node._modules[step])
        assert child is not None
        child._modules = dict(child._modules)
        node._modules[step] = child
        node = child


def layer_list(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the name and the list of layers: the first ModuleList whose modules are of one class.

    Raises:
        ConfigError: if there is none.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and len({type(item) for item in module}) == 1:
            return name, module
    raise ConfigError(f"a {type(model).__name__} has no list of layers: use lora_from_layer 0")


def attention_modules(model: nn.Module) -> list[str]:
    """Return the full names of the linear layers that LoRA adapts; empty if none is known."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for leaves in ATTENTION:
        found = [name for name in linear if name.rpartition(".")[2] in leaves]
        if {name.rpartition(".")[2] for name in found} == set(leaves):
            return found
    return []


def insert_adapters(model: nn.Module, config: TransformerEncoder) -> None:
    """Insert low-rank adapters into the attention, in place; afterwards only the adapters are trained.

    Hu et al. (2021), https://arxiv.org/abs/2106.09685: W x + (α/r) B A x, with B = 0 at the start.

    Raises:
        ConfigError: if no attention layer of a known name is found.
    """
    from peft import LoraConfig, inject_adapter_in_model

    targets = attention_modules(model)
    if not targets:
        known = ", ".join("/".join(leaves) for leaves in ATTENTION)
        raise ConfigError(
            f"model {config.model!r} has no attention layers that LoRA knows ({known}): use mode locked or full"
        )
    settings = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout, target_modules=targets
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inject_adapter_in_model(settings, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0].rstrip(".:")[:160]
