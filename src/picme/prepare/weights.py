"""The published weights that a configuration names: where they are, and what to copy where they are not.

To look for them imports no torch; to load them does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from picme.config.encoders import WEIGHT_SUFFIXES, ImageEncoder, TransformerEncoder, model_path
from picme.errors import ConfigError, PicmeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.study import Config

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
TORCHVISION = "https://download.pytorch.org"
SECONDS = 5.0
"""Seconds that a server may take to answer before it counts as out of reach."""


class Weights(NamedTuple):
    """The weights of one modality's encoder.

    Attributes:
        modality: name of the modality.
        named: the model or weights, as the configuration has them.
        place: the folder or file that they are in; None where they are still to be fetched.
        problem: one sentence, if they are missing.
    """

    modality: str
    named: str
    place: Path | None
    problem: str | None


def find_weights(config: Config, exact: bool = False) -> list[Weights]:
    """Look for the weights of every modality's encoder; a server is asked only for those that are not on disk.

    Args:
        config: the study.
        exact: ask torchvision, and so import torch, for the names of its files; otherwise any of a model will do.
    """
    found: dict[tuple[str, str, str], tuple[Path | None, str | None]] = {}
    listed = []
    for name, section in config.modalities.items():
        encoder = section.encoder
        if isinstance(encoder, TransformerEncoder):
            named, key, what = encoder.model, "model", ("", encoder.model, str(encoder.revision))
        elif isinstance(encoder, ImageEncoder) and encoder.weights:
            named, key, what = encoder.weights, "weights", (encoder.library, encoder.model, encoder.weights)
        else:
            continue
        if what not in found:
            found[what] = _transformer(encoder) if isinstance(encoder, TransformerEncoder) else _network(encoder, exact)
        place, problem = found[what]
        problem = problem and f"modalities.{name}.encoder.{key}: {problem}"
        listed.append(Weights(name, named, place, problem))
    return listed


def _transformer(encoder: TransformerEncoder) -> tuple[Path | None, str | None]:
    """Return the folder of a transformer, and what is wrong with it."""
    try:
        path = model_path(encoder.model)
    except ConfigError as error:
        return None, str(error)
    if path is not None:
        return path, _incomplete(path)
    import huggingface_hub
    from huggingface_hub import constants

    cached = huggingface_hub.try_to_load_from_cache(encoder.model, "config.json", revision=encoder.revision)
    if isinstance(cached, str):
        return Path(cached).parent, _incomplete(Path(cached).parent)
    revision = encoder.revision or "main"
    said = _out_of_reach(f"{constants.ENDPOINT}/{encoder.model}/resolve/{revision}/config.json", encoder.model)
    return None, said and (
        f"{said}, nor is it in {constants.HF_HUB_CACHE}; copy its config.json, model.safetensors (or "
        "pytorch_model.bin) and tokenizer files (tokenizer.json or vocab.txt, tokenizer_config.json) into a folder "
        "and name that folder here"
    )


def _incomplete(folder: Path) -> str | None:
    """Say what a folder lacks to be the checkpoint of a transformer."""
    names = {item.name for item in folder.iterdir()} if folder.is_dir() else set()
    lacks = [] if "config.json" in names else ["config.json"]
    if not any(name.endswith((".safetensors", ".bin")) for name in names):
        lacks.append("weights (model.safetensors or pytorch_model.bin)")
    if not names.intersection(TOKENIZERS):
        lacks.append(f"tokenizer ({' or '.join(TOKENIZERS[:2])})")
    return f"{folder} has no {' and no '.join(lacks)}; copy the checkpoint's whole folder there" if lacks else None


def _network(encoder: ImageEncoder, exact: bool) -> tuple[Path | None, str | None]:
    """Return the file of an image network's weights, and what is wrong with it."""
    assert encoder.weights is not None
    try:
        path = model_path(encoder.weights)
    except ConfigError as error:
        return None, str(error)
    if path is not None:
        return path, None if path.is_file() else f"{path} is a folder, expected a file ({', '.join(WEIGHT_SUFFIXES)})"
    if encoder.library == "timm":
        from huggingface_hub import constants

        folder, server = Path(constants.HF_HUB_CACHE), constants.ENDPOINT
        pattern, file = f"models--timm--{encoder.model.partition('.')[0]}[.-]*/snapshots/*", "model.safetensors"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
        folder = Path(os.environ.get("TORCH_HOME") or cache).expanduser() / "hub" / "checkpoints"
        server, pattern, file = TORCHVISION, f"{encoder.model}-*.pth", f"{encoder.model}-….pth"
        if exact:
            from picme.encoders.networks import published

            server = published(encoder)
            pattern = file = Path(server).name
    there = sorted(folder.glob(pattern))
    if there:
        return there[0], None
    said = _out_of_reach(server, f"{encoder.library} model {encoder.model!r}")
    return (
        None,
        said and f"{said}, nor is {pattern} in {folder}; copy {file} there",
    )


def _out_of_reach(address: str, what: str) -> str | None:
    """Say it if a server does not give something, without fetching it."""
    from huggingface_hub import constants

    server = "/".join(address.split("/")[:3])
    if constants.HF_HUB_OFFLINE and server == constants.ENDPOINT:
        return f"{what} is not fetched, since HF_HUB_OFFLINE is set"
    try:
        with urlopen(Request(address, method="HEAD"), timeout=SECONDS):
            return None
    except HTTPError as error:
        return f"{server} has no {what} for everyone" if error.code in (401, 403, 404) and address != server else None
    except (URLError, OSError, ValueError):
        return f"{what} cannot be fetched, since {server} is out of reach"


class Loaded(NamedTuple):
    """The size of a network, of its weights and of those trained, and what is wrong with it."""

    weights: int
    trained: int
    problem: str | None


def load_weights(config: Config, found: list[Weights]) -> Mapping[str, Loaded]:
    """Load the weights that are on this machine, by the name of their modality."""
    import torch

    from picme.encoders.networks import load_network
    from picme.encoders.transformers import load_transformer

    known: dict[str, Loaded] = {}
    loaded = {}
    for one in found:
        encoder = config.modalities[one.modality].encoder
        if one.place is None or one.problem:
            continue
        same = encoder.model_dump_json()
        if same not in known:
            try:
                with torch.random.fork_rng(devices=[]):
                    transformer = isinstance(encoder, TransformerEncoder)
                    network = load_transformer(encoder) if transformer else load_network(encoder).whole
                count = sum(weight.numel() for weight in network.parameters())
                known[same] = Loaded(count, count if encoder.mode == "full" else 0, None)
            except PicmeError as error:
                known[same] = Loaded(0, 0, str(error))
        loaded[one.modality] = known[same]
    return loaded
