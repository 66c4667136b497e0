"""Wrong values of every key: each is refused by one sentence that names the key in the user's words, or is right."""

from __future__ import annotations

import copy
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from picme.config.loading import Yaml, dump, load, validate
from picme.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG: list[Any] = [
    None, True, -1, 0, 3.7, 1e308, float("inf"), float("nan"), 10**30, -(10**30), "", "x", "é\u202e\n\t", "\0",
    "\ud800", "a/../../b", "9" * 5000, [], [[]], [None], ["x"], [-1, "é"], [True], {}, {"x": None}, {1: 2}, {"é": {}},
]  # fmt: skip
# Words of the library that checks the values, and of Python.
JARGON = re.compile(
    r"\b([Ii]nput|valid (dict|int|str|list)|instance|pydantic|unable|None|True|False|tuple|literal|another value)\b"
)


def places(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the place of every key."""
    for key, value in tree.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


def mutations(tree: dict[str, Any], number: int) -> list[tuple[tuple[str, ...], Any]]:
    """Return every key at least once, each wrong value equally often."""
    draw = random.Random(0)
    every = list(places(tree))
    draw.shuffle(every)
    return [(every[index % len(every)], WRONG[index % len(WRONG)]) for index in range(number)]


def test_five_hundred_wrong_values_each_end_in_one_sentence_that_names_the_key() -> None:
    tree = yaml.load(dump(load("demo")), Yaml)
    tried = mutations(tree, 500)
    assert {place for place, _ in tried} == set(places(tree)), "every key is tried"
    refused = 0
    for place, value in tried:
        changed = copy.deepcopy(tree)
        section = changed
        for part in place[:-1]:
            section = section[part]
        section[place[-1]] = value
        try:
            validate(changed)
        except ConfigError as error:
            message, refused = str(error), refused + 1
            assert message.isprintable(), (place, value, message)
            assert ".".join(place) in message or (place[-1] in message and ".".join(place[:-1]) in message), (
                place, value, message,
            )  # fmt: skip
            assert not JARGON.search(message), (place, value, message)
    assert refused > 300


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("pretrain.objective", "ofo", "unknown name 'ofo' in 'pretrain.objective'; did you mean 'ovo'? known: "),
        ("pretrain", 3, "'pretrain' is 3, expected a section (keys and values)"),
        ("pretrain.search", "on", "'pretrain.search' is 'on', expected 'off' or a section; `{}` is one with its "),
        ("evaluate.missing", True, "'evaluate.missing' is true, expected 'off' or a section; `{}` is one with its "),
        ("finetune.label_efficiency", 3, "'finetune.label_efficiency' is 3, expected 'off' or a section; `{}` is one"),
        ("pretrain.epochs", None, "'pretrain.epochs' is null, expected a whole number"),
        ("pretrain.epochs", 2.5, "'pretrain.epochs' is 2.5, expected a whole number"),
        ("pretrain.learning_rate", 0, "'pretrain.learning_rate' is 0, expected a number above 0"),
        ("pretrain.window", float("inf"), "'pretrain.window' is inf, expected a finite number"),
        ("study.seeds", True, "'study.seeds' is true, expected a number"),
        ("source.kind", None, "'source.kind' is null, expected a name; known: meds, mimic, "),
        ("execution.workers", "x", "'execution.workers' is 'x', expected a whole number or 'auto'"),
        ("execution.device", "cud", "execution.device: 'cud' is no device, expected auto, cpu, cuda, "),
        ("finetune.combinations", "al", "'finetune.combinations' is 'al', expected 'best', 'paper' or 'all' or a list"),
        ("finetune.combinations", [3], "'finetune.combinations.0' is 3, expected a text"),
        ("finetune.strategies", "gated", "'finetune.strategies' is 'gated', expected a list, such as ['gated']"),
        ("evaluate.thresholds", [{"kind": "youdn"}], "'evaluate.thresholds.0.kind' is 'youdn', expected "),
        ("align.ks", [], "'align.ks' is [], expected a list of 1 or more"),
        ("align.ks", [0], "'align.ks.0' is 0, expected 1 or more"),
        ("modalities.image", 3, "'modalities.image' is 3, expected a section (keys and values)"),
        ("finetune.strategies", ["gatd"], "finetune.strategies: unknown strategy 'gatd'; did you mean 'gated'?"),
        ("finetune.combinations", ["discharge-image"],
         "finetune.combinations: 'discharge-image' is written 'discharge+image'"),
        ("modalities.imag", None, "'modalities.imag' is null, but no preset has it to take away; did you mean 'image"),
        ("tasks.phenotypin", None, "'tasks.phenotypin' is null, but no preset has it to take away; did you mean 'phe"),
        ("presets", "demo", "unknown key 'presets'; did you mean 'preset'?"),
        ("modalities", {1: {}}, "'modalities' has the key 1, expected a text (in quotes)"),
        ("evaluate.attributes", ["gendr"], "evaluate.attributes names 'gendr', which the cohort will not have"),
        ("evaluate.attributes", "gender", "'evaluate.attributes' is 'gender', expected a list, such as ['gender']"),
        ("evaluate.comparisons.strategies", [["gatd", "supervised"]], "evaluate.comparisons.strategies: unknown str"),
        ("evaluate.comparisons.strategies", ["gated"], "'evaluate.comparisons.strategies.0' is 'gated', expected a"),
        ("evaluate.comparisons.strategies", [["gated"]],
         "'evaluate.comparisons.strategies.0' is ['gated'], which lacks value 2 of its list"),
        ("evaluate.comparisons.controls", [["gated", "gated"]],
         "evaluate.comparisons.controls: 'gated' is compared with itself"),
    ],
)  # fmt: skip
def test_what_was_expected_is_said_in_plain_words(key: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}"):
        load("demo", {key: value})


def test_a_run_folder_in_place_of_its_configuration_and_a_tab_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder, expected a YAML file or the name of a preset$"):
        load(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text("study:\n\tseeds: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"its configuration is {re.escape(str(file))}$"):
        load(tmp_path)
    with pytest.raises(ConfigError, match=r"line 2 is not valid YAML: it is indented by a tab, expected blanks$"):
        load(file)


def test_keys_of_yaml_are_texts_and_there_once(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("preset: demo\n? [a, b]\n: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 2 is not valid YAML: a key is a list or section, expected a text$"):
        load(file)
    with pytest.raises(ConfigError, match="--set study: the value is not valid YAML: key 'seeds' is there twice"):
        load("demo", {"study": "{seeds: 2, seeds: 3}"})


def test_a_k_given_twice_is_measured_once() -> None:
    assert load("demo", {"align.ks": [5, 1, 5]}).align.ks == (1, 5)


def test_a_component_may_be_given_by_its_name_alone() -> None:
    assert load("demo", {"pretrain.objective": "gram"}).pretrain.objective.name == "gram"
    assert load("demo", {"modalities.timeseries.encoder": "grud"}).modalities["timeseries"].encoder.hidden == 64
    assert load("demo", {"source": "synthetic"}) == load("demo")


def test_the_short_form_starts_a_section_anew_as_the_long_one_does() -> None:
    settings = {"pretrain.objective.kl": 0.5, "pretrain.objective.name": "all_pairs"}
    assert load("demo", settings).pretrain.objective.kl == 0.5
    assert load("paper", {"source.ehr": "x", "pretrain.objective": "all_pairs"}).pretrain.objective.kl == 1.0
