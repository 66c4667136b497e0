"""The keys of every artifact of a study, from its configuration alone; imports no torch, so planning is instant."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from picme.config.encoders import trunk_identity
from picme.sources.paths import raw_files
from picme.store import Store, fingerprint, key_of

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config

Combination = tuple[str, ...]


class Keys:
    """Keys of one study. What does not change a result (workers, device) is in none of them."""

    def __init__(self, config: Config, raw: list[dict[str, Any]] | None = None) -> None:
        self.config = config
        self._raw = raw
        self._tree = config.model_dump(mode="json")
        self._trunks: dict[str, str] = {}
        self._pretrainings: dict[tuple[Combination, int], str] = {}

    @cached_property
    def raw(self) -> list[dict[str, Any]]:
        """Fingerprints of the raw files: as given, else as the files are now."""
        return fingerprint(raw_files(self.config)) if self._raw is None else self._raw

    @cached_property
    def hospital(self) -> str:
        """Of the synthetic hospital, where the source is one."""
        return key_of("hospital", self._tree["source"])

    @cached_property
    def prepare(self) -> str:
        """Of the cohort and its arrays."""
        modalities = {
            name: {key: value for key, value in section.items() if key != "encoder"}
            for name, section in self._tree["modalities"].items()
        }
        # Order matters: it is the order of arrays.
        return key_of(
            "prepare",
            [self._tree[name] for name in ("source", "cohort", "require", "tasks", "splits")],
            list(modalities.items()),
            self.config.pretrain.window,
            self.raw,
        )

    def trunk(self, modality: str) -> str:
        """What tells one locked trunk's output from another's."""
        if modality not in self._trunks:
            self._trunks[modality] = trunk_identity(self.config.modalities[modality].encoder)
        return self._trunks[modality]

    def features(self, modality: str) -> str:
        """Of a modality's trunk cache."""
        return key_of("features", self.prepare, modality, self.trunk(modality), self.config.study.precision)

    def encoder(self, modality: str) -> list[Any]:
        """All that determines an encoder and its input."""
        return [
            modality,
            self.config.study.precision,
            self._tree["modalities"][modality]["encoder"],
            self.trunk(modality),
            self.config.study.embed_dim,
            *(["shared"] if self.config.study.projection == "shared" else []),
        ]

    def pretrain(self, combination: Combination, seed: int = 0) -> str:
        """Of one pretraining; of its search too, whose findings it uses."""
        if (combination, seed) not in self._pretrainings:
            searched = [self.pretrain_search(combination)] if self.config.pretrain.search != "off" else []
            key = key_of("pretrain", *self._pretraining(combination), seed, *searched)
            self._pretrainings[combination, seed] = key
        return self._pretrainings[combination, seed]

    def pretrain_search(self, combination: Combination) -> str:
        """Of the search that serves a combination's pretraining."""
        on = self.searched_combination(combination)
        return key_of("search", "pretrain", *self._pretraining(on), self._tree["pretrain"]["search"])

    def searched_combination(self, combination: Combination) -> Combination:
        """The combination that is searched on for another: the first of its size, or itself."""
        if self.config.pretrain.search_combinations == "all":
            return combination
        return tuple(self.config.modalities)[: len(combination)]

    def _pretraining(self, combination: Combination) -> tuple[Any, ...]:
        """What determines a pretraining beside its seed and search."""
        section = {
            name: value
            for name, value in self._tree["pretrain"].items()
            if name not in {"seeds", "objective", "pair_objective", "search", "search_combinations", "loggers"}
        }
        return (
            self.prepare,
            [self.encoder(name) for name in combination],
            section,
            self._tree["pretrain"]["pair_objective" if len(combination) == 2 else "objective"],
        )

    def align(self, combination: Combination, seed: int = 0) -> str:
        """Of one combination's alignment."""
        return key_of("align", self.pretrain(combination, seed), self._tree["align"])

    def embed(self, task: str, combination: Combination) -> str:
        """Of the embeddings of a task's stays by a combination's pretrained encoders."""
        return key_of("embed", task, self.pretrain(combination))

    def embed_random(self, task: str, modality: str, seed: int) -> str:
        """Of the embeddings of a task's stays by one modality's untrained encoder."""
        return key_of("embed_random", self.prepare, task, self.encoder(modality), seed)

    def finetune(
        self, task: str, combination: Combination, strategy: str, seed: int, variant: dict[str, Any] | None = None
    ) -> str:
        """Of one fine-tuning; `variant` is what it does otherwise than the configuration says."""
        section = {
            name: value
            for name, value in self._tree["finetune"].items()
            if name not in {"combinations", "best", "singles", "strategies", "fusions", "orders", "label_efficiency"}
        }
        section |= variant or {}
        if strategy in self.config.finetune.fusions:
            section["fusion"] = self._tree["finetune"]["fusions"][strategy]
        pretrained = self.pretrain(combination) if self.reads_pretraining(strategy, combination) else None
        return key_of(
            "finetune",
            self.prepare,
            task,
            self._tree["tasks"][task],
            [self.encoder(name) for name in combination],
            strategy,
            section,
            pretrained,
            seed,
        )

    def reads_pretraining(self, strategy: str, combination: Combination) -> bool:
        """Whether a strategy starts from pretrained encoders or their λ."""
        return len(combination) > 1 and strategy in {"contrastive", "finetuned", "gated"}


def hospital_folder(run: Path, key: str) -> Path:
    """Where a synthetic hospital lies."""
    return Store(run).path("hospital", key)
