"""Image networks of torchvision and timm, without their classifier and cut where training begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from picme.config.encoders import model_path
from picme.errors import ConfigError, near

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.encoders import ImageEncoder

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Names that the architectures give to the attribute that holds the classifier.
CLASSIFIERS = ("fc", "classifier", "head", "heads")


@dataclass
class Network:
    """A network that turns images (batch, channels, height, width) into vectors (batch, feature_dim)."""

    whole: nn.Module
    feature_dim: int
    mean: list[float]
    std: list[float]
    resize: int | None

    def split(self, mode: str) -> tuple[nn.Module, nn.Module]:
        """Split the network into a locked and a trained part.

        Args:
            mode: `head` trains the layers after the last stage, `last_stage` that stage as well.

        Raises:
            ConfigError: for an architecture whose stages are not known.
        """
        steps, last_stage = _steps(self.whole)
        cut = last_stage + (1 if mode == "head" else 0)
        return nn.Sequential(*steps[:cut]), nn.Sequential(*steps[cut:])


def load_network(config: ImageEncoder) -> Network:
    """Load the configured architecture with the configured weights.

    Raises:
        ConfigError: if the library has no such model, or the weights cannot be loaded or do not fit.
    """
    path = model_path(config.weights) if config.weights and config.weights != "pretrained" else None
    with torch.random.fork_rng(devices=[]):
        # Random weights (`weights: null`) are the same in every process, so that a locked trunk is one trunk.
        torch.manual_seed(0)
        whole, statistics = (_timm if config.library == "timm" else _torchvision)(config, path)
    mean, std = list(config.mean or statistics[0]), list(config.std or statistics[1])
    if config.grey == "first_conv":
        _sum_first_convolution(whole)
        mean, std = [sum(mean) / len(mean)], [sum(std) / len(std)]
    elif len(mean) != 3 or len(std) != 3:
        mean, std = mean * (3 // len(mean)), std * (3 // len(std))
    feature_dim = _without_classifier(whole)
    return Network(whole, feature_dim, mean, std, config.resize)


def _torchvision(config: ImageEncoder, path: Path | None) -> tuple[nn.Module, tuple[Any, Any]]:
    from torchvision import models

    _known(config)
    named = _named(config) if config.weights and path is None else None
    try:
        network: nn.Module = models.get_model(config.model, weights=named)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreachable(config) from error
    if path is not None:
        load_weights(network, path)
    return network, IMAGENET


def _known(config: ImageEncoder) -> None:
    from torchvision import models

    if config.model not in models.list_models(module=models):
        known = models.list_models(module=models)
        raise ConfigError(f"torchvision has no model {config.model!r}{near(config.model, known)}")


def _named(config: ImageEncoder) -> Any:
    """Return torchvision's weights of the configured name."""
    from torchvision import models

    _known(config)
    known = {item.name: item for item in models.get_model_weights(config.model)}
    if config.weights != "pretrained" and config.weights not in known:
        hint = near(str(config.weights), known)
        raise ConfigError(f"torchvision model {config.model!r} has no weights {config.weights!r}{hint}")
    return known.get(str(config.weights), models.get_model_weights(config.model).DEFAULT)


def published(config: ImageEncoder) -> str:
    """Return the address of the weights that torchvision publishes under the configured name.

    Raises:
        ConfigError: if it has no such model or weights.
    """
    return str(_named(config).url)


def _timm(config: ImageEncoder, path: Path | None) -> tuple[nn.Module, tuple[Any, Any]]:
    import timm

    base, known = config.model.partition(".")[0], timm.list_models()
    if base not in known:
        raise ConfigError(f"timm has no model {config.model!r}{near(base, known)}")
    name = config.model
    named = bool(config.weights) and path is None
    if named and config.weights != "pretrained":
        name = f"{base}.{config.weights}"
    try:
        network: nn.Module = timm.create_model(name, pretrained=named)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreachable(config) from error
    if path is not None:
        load_weights(network, path)
    about = getattr(network, "pretrained_cfg", {})
    return network, (about.get("mean", IMAGENET[0]), about.get("std", IMAGENET[1]))


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a weights file into a network.

    Tensors are matched by name, or in order where another library has named the same tensors. A classifier of another
    size is left out. Pickled files are read as tensors only.

    Raises:
        ConfigError: if the file cannot be read or does not fit.
    """
    state = _read_state(path)
    own = network.state_dict()
    rest = {name: value for name, value in own.items() if name.partition(".")[0] not in CLASSIFIERS}
    if rest.keys() <= state.keys():
        for name, value in rest.items():
            if state[name].shape != value.shape:
                raise ConfigError(
                    f"{path}: {name} has shape {tuple(state[name].shape)}, the model expects {tuple(value.shape)}"
                )
        network.load_state_dict({name: state[name] for name in rest}, strict=False)
        return
    same = len(state) == len(own) and all(
        theirs.shape == ours.shape for theirs, ours in zip(state.values(), own.values(), strict=True)
    )
    if not same:
        missing = next(name for name in rest if name not in state)
        raise ConfigError(f"{path} does not fit the model: {missing} is not in it, and its tensors differ in order")
    network.load_state_dict(dict(zip(own, state.values(), strict=True)))


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise any error
        raise ConfigError(
            f"{path} cannot be read as weights: expected safetensors or a file of tensors alone"
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} does not hold named tensors: expected a state dict")
    prefix = "module."
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _without_classifier(network: Any) -> int:
    """Remove the classifier and return the size of its input."""
    if hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
        return int(network.num_features)
    for name in CLASSIFIERS:
        head = getattr(network, name, None)
        if not isinstance(head, nn.Module):
            continue
        linear = [(key, module) for key, module in head.named_modules() if isinstance(module, nn.Linear)]
        if not linear:
            continue
        # Of a classifier with several layers, only what precedes its first linear layer (normalisations) is kept.
        if isinstance(head, nn.Linear):
            setattr(network, name, nn.Identity())
        else:
            before: list[nn.Module] = []
            for module in head.children():
                if any(isinstance(inner, nn.Linear) for inner in module.modules()):
                    break
                before.append(module)
            setattr(network, name, nn.Sequential(*before))
        return int(linear[0][1].in_features)
    raise ConfigError(f"a {type(network).__name__} has no classifier that can be taken off: use another model")


def _steps(network: Any) -> tuple[list[nn.Module], int]:
    """Return the network as a list of consecutive steps, and the position of the last stage among them."""
    if hasattr(network, "layer4"):  # ResNets of both libraries
        act = network.act1 if hasattr(network, "act1") else network.relu
        pool = [network.global_pool] if hasattr(network, "global_pool") else [network.avgpool, nn.Flatten(1)]
        stem = [network.conv1, network.bn1, act, network.maxpool]
        return [*stem, network.layer1, network.layer2, network.layer3, network.layer4, *pool], 7
    if hasattr(network, "conv_stem") and hasattr(network, "blocks"):  # timm's EfficientNets
        blocks = list(network.blocks)
        after = [network.conv_head, network.bn2, network.global_pool]
        return [network.conv_stem, network.bn1, *blocks, *after], 1 + len(blocks)
    if isinstance(getattr(network, "features", None), nn.Sequential) and type(network).__name__ in (
        "EfficientNet",
        "MobileNetV2",
        "MobileNetV3",
        "ConvNeXt",
    ):
        stages = list(network.features)
        after = [network.avgpool] if hasattr(network, "avgpool") else [nn.AdaptiveAvgPool2d(1)]
        head = network.classifier if type(network).__name__ == "ConvNeXt" else nn.Identity()
        last = len(stages) - (1 if type(network).__name__ == "ConvNeXt" else 2)
        return [*stages, *after, head, nn.Flatten(1)], last
    raise ConfigError(f"the stages of a {type(network).__name__} are not known: use mode locked or full")


def _sum_first_convolution(network: nn.Module) -> None:
    """Make the first convolution take one channel: its weights are summed over the channels it took."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if module.groups != 1:
                break
            module.weight = nn.Parameter(module.weight.detach().sum(dim=1, keepdim=True))
            module.in_channels = 1
            return
    raise ConfigError(f"a {type(network).__name__} has no first convolution to sum: use grey: repeat")


def _unreachable(config: ImageEncoder) -> ConfigError:
    return ConfigError(
        f"weights {config.weights!r} of {config.library} model {config.model!r} cannot be fetched or loaded: "
        f"give a file or a package, or weights: null"
    )
