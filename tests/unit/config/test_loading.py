"""Configurations: what is wrong is said in one sentence that names the key; what is right is kept whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from picme.config.loading import dump, load, parse_overrides, presets, validate
from picme.config.objectives import CONFIGS
from picme.design.study import Design
from picme.engine.step import key_of
from picme.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config


def pretrain_key(config: Config, *combination: str) -> str:
    return Design(config).pretrain(combination).key


@pytest.mark.parametrize("name", sorted(presets()))
def test_presets_are_valid_and_survive_writing_and_reading(name: str, tmp_path: Path) -> None:
    config = load(name)
    file = tmp_path / "config.yaml"
    file.write_text(dump(config), encoding="utf-8")
    assert load(file) == config


def test_presets_open_with_the_command_that_runs_them() -> None:
    for name, first in presets().items():
        assert first.startswith(("picme run", "picme demo")), name


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("pretrain.epocs", 3, ["'pretrain.epocs'", "'epochs'"]),
        ("pretrain.epochs", "many", ["'pretrain.epochs'", "many"]),
        ("pretrain.batch_size", 1, ["'pretrain.batch_size'", "2"]),
        ("pretrain.objective.name", "ofo", ["'ofo'", "'pretrain.objective'", "'ovo'"]),
        ("pretrain.objective.kll", 1, ["'pretrain.objective.kll'", "'kl'"]),
        ("modalities.image.encoder.name", "imge", ["'imge'", "'modalities.image.encoder'", "'image'"]),
        ("modalities.image.encoder.mod", "locked", ["'modalities.image.encoder.mod'", "'mode'"]),
        ("modalities.image.kind", "imag", ["'imag'", "'image'"]),
        ("source.kind", "synthtic", ["'synthtic'", "'source'", "'synthetic'"]),
        ("finetune.strategies", ["gatd"], ["'gatd'", "'gated'"]),
        ("finetune.combinations", ["discharge+imag"], ["finetune.combinations", "'imag'", "'image'"]),
        ("align.tsne", ["discharge+imag"], ["align.tsne", "'imag'"]),
        ("study.combination_sizes", [1], ["two modalities"]),
        ("study.combination_sizes", [6, 7], ["study.combination_sizes", "6 modalities"]),
        ("splits.train", 0.95, ["splits"]),
        ("tasks.mortality", None, ["tasks"]),
        ("finetune.gate", [0.5, 0.5], ["finetune.gate", "2 weights", "5 modalities"]),
        ("finetune.gate", [0.5, 0.5, 0.5, 0, 0], ["finetune.gate", "1.5"]),
        ("finetune.gate", [1.5, -0.5, 0, 0, 0], ["finetune.gate"]),
        ("finetune.loss", "focal", ["'finetune.loss'", "focal"]),
        ("finetune.label_efficiency", {"shares": [0.1, 1.5]}, ["finetune.label_efficiency", "below 1"]),
    ],
)
def test_a_mistake_is_one_sentence_naming_the_key(key: str, value: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load("demo", {"tasks.phenotyping": None, key: value})
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unknown_preset_and_missing_file() -> None:
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load("dmo")
    with pytest.raises(ConfigError, match=r"does not exist$"):
        load("nowhere.yaml")
    with pytest.raises(ConfigError, match="does not exist; the preset is called 'demo'"):
        load("demo.yaml")


def test_broken_yaml_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("name: x\nsource: {kind: [\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.yaml line \d"):
        load(file)


def test_overrides_are_yaml_values() -> None:
    config = load("demo", parse_overrides(["pretrain.learning_rate=1e-4", "finetune.strategies=[random]"]))
    assert config.pretrain.learning_rate == 1e-4
    assert config.finetune.strategies == ("random",)
    with pytest.raises(ConfigError, match="key=value"):
        parse_overrides(["pretrain.epochs"])


def test_a_file_starts_from_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("preset: demo\npretrain: {epochs: 7}\n", encoding="utf-8")
    config = load(file)
    assert config.pretrain.epochs == 7
    assert config.pretrain.batch_size == load("demo").pretrain.batch_size


def test_null_takes_a_part_of_a_preset_away(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("preset: demo\nmodalities: {image: null}\ntasks: {phenotyping: null}\n", encoding="utf-8")
    config = load(file)
    assert list(config.modalities) == ["discharge", "radiology", "timeseries", "demographics"]
    assert list(config.tasks) == ["mortality"]
    assert load("demo", parse_overrides(["modalities.image=null", "tasks.phenotyping="])) == config
    # The demo fine-tunes the paper's ten combinations: five of them, and the single ones, have no image.
    assert len(Design(config).named or ()) == 5


def test_a_mapping_merges_in_a_file_as_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    for text, key, value in (
        ("tasks: {mortality: {}}", "tasks", "{mortality: {}}"),
        ("pretrain: {search: {trials: 3}}", "pretrain", "{search: {trials: 3}}"),
        ("modalities: {image: {encoder: {mode: full}}}", "modalities.image", "{encoder: {mode: full}}"),
        ("modalities: {timeseries: {encoder: {name: grud}}}", "modalities.timeseries.encoder.name", "grud"),
    ):
        file.write_text(f"preset: demo\n{text}\n", encoding="utf-8")
        assert load(file) == load("demo", parse_overrides([f"{key}={value}"])), text
    assert list(load("demo", {"tasks": {"mortality": {}}}).tasks) == ["mortality", "phenotyping"]


@pytest.mark.parametrize("text", ["name: a\nname: b\n", "name: a\npretrain:\n  epochs: 1\n  epochs: 2\n"])
def test_a_key_that_is_there_twice_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"preset: demo\n{text}", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"mine\.yaml line {text.count(chr(10)) + 1} .*key '(name|epochs)' is there"):
        load(file)


def test_another_component_does_not_inherit_the_first_ones_fields(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("preset: demo\nmodalities: {timeseries: {encoder: {name: mlp}}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="reads tabular"):  # not: unknown key 'pooling'
        load(file)


def test_components_serialise_with_all_their_own_fields() -> None:
    keys = set()
    for name, model in CONFIGS.items():
        config = load("demo", {"pretrain.objective": {"name": name}})
        written = yaml.safe_load(dump(config))["pretrain"]["objective"]
        assert set(written) == set(model.model_fields), name
        keys.add(pretrain_key(config, "discharge", "radiology", "image"))
    assert len(keys) == len(CONFIGS), "two objectives share a key"
    for value in (0.05, 0.1):
        config = load("demo", {"pretrain.objective.temperature": value})
        keys.add(pretrain_key(config, "discharge", "radiology", "image"))
    assert len(keys) == len(CONFIGS) + 2, "a field of an objective is not in the key"


def test_keys_ignore_where_jobs_run_and_see_all_else() -> None:
    pair = ("discharge", "radiology")
    base = pretrain_key(load("demo"), *pair)
    assert pretrain_key(load("demo", {"execution.workers": 7}), *pair) == base
    assert pretrain_key(load("demo", {"pretrain.epochs": 7}), *pair) != base
    assert pretrain_key(load("demo", {"source.stays": 50}), *pair) != base
    # An image encoder says nothing about two texts.
    other = load("demo", {"modalities.image.encoder.mode": "full"})
    assert pretrain_key(other, *pair) == base
    assert pretrain_key(other, "discharge", "image") != pretrain_key(load("demo"), "discharge", "image")


def test_key_of_does_not_depend_on_the_order_of_keys() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_impossible_combinations_of_values() -> None:
    tree = yaml.safe_load(dump(load("demo")))
    tree["splits"] = {"kind": "sets", "train_sets": ["a"], "test_sets": ["a"]}
    with pytest.raises(ConfigError, match="train_sets and in test_sets"):
        validate(tree)


def test_a_name_that_a_run_folder_had_known_is_of_a_package_that_is_not_installed(tmp_path: Path) -> None:
    text = dump(load("demo")).replace("name: lstm", "name: gru")
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^unknown name 'gru' in .*did you mean 'grud'\? known: .*tcn.*transformer$"):
        load(tmp_path / "config.yaml")
    (tmp_path / "store").mkdir()
    with pytest.raises(ConfigError, match=r"encoder'; is the package that supplied it installed\?$"):
        load(tmp_path / "config.yaml")


def test_aliases_cannot_make_a_configuration_endless(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("study: &a [*a]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"study\.yaml is nested too deeply"):
        load(file)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"study\.yaml holds over 100,000 values"):
        load(file)
    file.write_text("preset: demo\nstudy: {seeds: &n 2}\nevaluate: {resamples: 300, min_group: *n}\n", encoding="utf-8")
    assert load(file).evaluate.min_group == 2


def test_a_file_too_large_for_a_configuration_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    with file.open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(ConfigError, match="has over 16 MB"):
        load(file)


def test_plain_values_are_read_as_the_same_values_in_a_file(tmp_path: Path) -> None:
    values = {"preset": "demo", "modalities": {"image": None}, "pretrain": {"objective": "gram"}}
    given = dict(values)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    over = {"study.seeds": 1, "pretrain.epochs": "7"}
    assert load(values, over) == load(file, over)
    assert load(values, over).study.seeds == 1
    assert values == given, "what the caller holds stays as it is"
    whole = yaml.safe_load(dump(load("demo")))
    assert load(whole) == load("demo")
    with pytest.raises(ConfigError, match=r"'study\.seds'.*'seeds'"):
        load(whole, {"study.seds": 3})
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load({"preset": "dmo"})


@pytest.mark.parametrize("value", ["", "paper"])
def test_a_preset_is_not_set_beside_a_configuration(value: str) -> None:
    with pytest.raises(ConfigError, match="'preset' cannot be set beside a configuration: name the preset"):
        load("demo", {"preset": value})
