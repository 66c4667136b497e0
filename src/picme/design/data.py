"""The steps of a study's data and encoders: the cohort, what its stays have, and how each modality enters a model."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from picme.config.encoders import EncoderConfig, has_locked_trunk, trunk_identity
from picme.design.outside import code_outside
from picme.engine.store import fingerprint
from picme.prepare.raw import listed_files, raw_files
from picme.prepare.step import Availability, Baseline, Hospital, Prepare, PretrainWindow, TaskPart
from picme.pretrain.features import Encoding, Features

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.config.study import Config

T = TypeVar("T")


class DataSteps:
    """The steps of a study's data and encoders, each made once from the configuration.

    Args:
        config: the study.
        made_from: what a finished run recorded of its raw files and of other packages' code (`raw` and `code` of
            `run.json`): these may have changed since. By default both are as they are now.
    """

    def __init__(self, config: Config, made_from: dict[str, Any] | None = None) -> None:
        self.config = config
        self._made_from = made_from
        self.code: dict[str, str] = {} if made_from is None else dict(made_from.get("code", {}))
        self._made: dict[Any, Any] = {}

    @cached_property
    def raw(self) -> list[dict[str, Any]]:
        """Fingerprints of the raw files."""
        if self._made_from is not None:
            return list(self._made_from["raw"])
        content = getattr(self.config.source, "fingerprint", None) == "content"
        return fingerprint(raw_files(self.config), listed_files(self.config), content)

    @cached_property
    def hospital(self) -> Hospital | None:
        """The step that writes the synthetic hospital, where the source is one."""
        return Hospital(source=self.config.source) if self.config.source.kind == "synthetic" else None

    @cached_property
    def prepare(self) -> Prepare:
        """The step that makes the cohort and its arrays."""
        config = self.config
        named = [("sources", config.source.kind), *(("tasks", name) for name in config.tasks)]
        named += [("modalities", section.kind) for section in config.modalities.values()]
        code = {f"{group}: {name}": self._code(group, name) for group, name in named}
        return Prepare(
            source=config.source,
            cohort=config.cohort,
            require=config.require,
            modalities={
                name: {key: value for key, value in dict(section).items() if key not in ("encoder", "cost")}
                for name, section in config.modalities.items()
            },
            tasks=config.tasks,
            splits=config.splits,
            pretrain=PretrainWindow(window=config.pretrain.window),
            raw=tuple(self.raw),
            code={name: value for name, value in code.items() if value is not None},
            hospital=self.hospital,
        )

    @cached_property
    def availability(self) -> Availability:
        """The step that counts which modalities the stays have, and how much of their texts the encoders read."""
        encoders = {name: section.encoder for name, section in self.config.modalities.items()}
        reads = {name: one.reading_settings() for name, one in encoders.items() if isinstance(one, EncoderConfig)}
        reads = {name: settings for name, settings in reads.items() if settings}
        return Availability(prepare=self.prepare, encoders={name: encoders[name] for name in reads}, reads=reads)

    @cached_property
    def baseline(self) -> Baseline:
        """The step that makes the table of who the stays are."""
        return Baseline(prepare=self.prepare, min_group=self.config.evaluate.min_group)

    @property
    def tasks(self) -> list[str]:
        """The tasks by name: each is judged by itself, so their order in the configuration is only that of rows."""
        return sorted(self.config.tasks)

    def task(self, name: str) -> TaskPart:
        """Return a task as steps need to know it."""
        return self._once(
            ("task", name),
            lambda: TaskPart(name=name, section=self.config.tasks[name], code=self._code("tasks", name)),
        )

    @property
    def locked(self) -> list[str]:
        """The modalities whose encoder has a part that is never trained and so runs once."""
        return [name for name, section in self.config.modalities.items() if has_locked_trunk(section.encoder)]

    def features(self, modality: str) -> Features:
        """Return the step that runs the locked part of a modality's encoder."""
        encoder = self.config.modalities[modality].encoder
        return self._once(
            ("features", modality),
            lambda: Features(
                prepare=self.prepare,
                modality=modality,
                encoder=encoder,
                trunk=trunk_identity(encoder),
                precision=self.config.study.precision,
                code=self._code("encoders", encoder.name),
            ),
        )

    def encoding(self, modality: str, encoder: bool = True) -> Encoding:
        """Return a modality on its way into a model, with or without the encoder above the locked part."""
        section = self.config.modalities[modality]

        def make() -> Encoding:
            return Encoding(
                modality=modality,
                kind=section.kind,
                encoder=section.encoder if encoder else None,
                trunk=trunk_identity(section.encoder) if encoder else None,
                embed_dim=self.config.study.embed_dim if encoder else 0,
                shared=encoder and self.config.study.projection == "shared",
                precision=self.config.study.precision if encoder else "fp32",
                features=self.features(modality) if has_locked_trunk(section.encoder) else None,
                code=self._code("encoders", section.encoder.name) if encoder else None,
            )

        return self._once(("encoding", modality, encoder), make)

    def _code(self, group: str, name: str) -> str | None:
        """Return a hash of the code of another package's component: as recorded for a finished run, else as it is."""
        place = f"{group}: {name}"
        if self._made_from is None and place not in self.code:
            found = code_outside(group, name)
            if found is not None:
                self.code[place] = found
        return self.code.get(place)

    def _once(self, key: Any, make: Callable[[], T]) -> T:
        """Return what was made for a key, making it the first time: steps are shared, so that keys are made once."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made
