from collections import Counter
from pathlib import Path

import pytest

from tests.paths import ROOT
from trainer.ablation.studies import plan_studies
from trainer.config import PRESETS, load_config
from trainer.errors import ConfigError
from trainer.losses.registry import TERMS
from trainer.run.train import start_network

CONFIGS = ROOT / "trainer" / "configs"
KEYS = [term.key for term in TERMS]
SHIPPED = CONFIGS / "ablation.toml"
SHIPPED_BLEND = CONFIGS / "ablation-blend.toml"

STUDIES = """
base = "base.toml"
[[study]]
name = "masks"
title = "Masks"
question = "With or without?"
arm = [{ name = "with" }, { name = "without", set = ["loss.use_masks=false"] }]
[[study]]
name = "chroma"
title = "Chroma"
question = "Which rule?"
scenes = "colourful"
arm = [{ name = "mean" }, { name = "weighted", evaluation = { chroma = "weighted" } }]
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "base.toml").write_text('name = "base"\n[optim]\nsteps = 9\n')

    def write_studies(text: str) -> Path:
        path = tmp_path / "studies.toml"
        path.write_text(text)
        return path

    return write_studies


def plan(path, *overrides):
    return [one for study in plan_studies(path, overrides) for one in study]


def test_arms_that_ask_for_the_same_training_share_one_and_are_told_apart_by_their_label(write):
    planned = plan(write(STUDIES))
    assert len(planned) == 4
    assert planned[0].config == planned[2].config == planned[3].config != planned[1].config
    assert planned[0].label == planned[2].label == planned[0].config.name
    assert planned[3].label == f"{planned[0].config.name}-chroma-weighted"
    assert [one.study.scenes for one in planned] == ["scenes", "scenes", "colourful", "colourful"]
    assert planned[0].config.name.startswith("masks-with-")


def test_an_arm_differs_from_the_base_in_its_overrides_and_name_alone(write):
    base, other = plan(write(STUDIES))[:2]
    assert base.config.loss.use_masks
    assert not other.config.loss.use_masks
    same = {"name": "x", "loss": base.config.loss}
    assert base.config.model_copy(update=same) == other.config.model_copy(update=same)


def test_a_common_override_makes_new_trainings_and_an_arms_own_wins(write):
    path = write(STUDIES)
    before, after = plan(path), plan(path, "optim.steps=4", "loss.use_masks=true")
    assert {one.config.optim.steps for one in after} == {4}
    assert not after[1].config.loss.use_masks
    assert not {one.config.name for one in before} & {one.config.name for one in after}


def test_studies_are_selected_by_name(write):
    path = write(STUDIES)
    (chosen,) = plan_studies(path, names=["chroma"])
    assert [one.arm.name for one in chosen] == ["mean", "weighted"]
    assert chosen[0].config == plan(path)[0].config  # named as where all are asked for
    with pytest.raises(ConfigError, match=r"expected a study of chroma, masks, got sigma"):
        plan_studies(path, names=["sigma"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("use_masks", "use_msks", r"masks/without.*loss.use_msks"),
        ('base = "base.toml"', 'base = "none.toml"', r"none.toml"),
        ('name = "chroma"', 'name = "masks"', r"each study once"),
        ('name = "weighted"', 'name = "mean"', r"each arm once"),
        ('chroma = "weighted"', 'chroma = "bright"', r"evaluation.chroma"),
        ("question", "qestion", r"study.0.question"),
        ("[[study]]", "[study", r"not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(write, old, new, message):
    path = write(STUDIES.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        plan(path)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"studies 'none.toml', found none"):
        plan_studies(tmp_path / "none.toml")


def test_the_shipped_studies_ask_every_point_in_which_the_readings_differ():
    """Each point of the authors' preset is switched alone in one arm, from the paper's value."""
    planned = {one.arm.name: one.config for one in plan(SHIPPED) if one.study.name == "readings"}
    paper = planned.pop("paper").model_dump()
    authors = planned.pop("authors").model_dump()
    switched: set[tuple[str, str]] = set()
    for name, config in planned.items():
        changed = {
            (group, key)
            for group, values in config.model_dump().items()
            if isinstance(values, dict)
            for key, value in values.items()
            if value != paper[group][key]
        }
        assert changed, name
        assert all(config.model_dump()[g][k] == authors[g][k] for g, k in changed), name
        switched |= changed
    points = {
        (group, key)
        for group, values in PRESETS["authors"].items()
        for key, value in values.items()
        if value != PRESETS["paper"][group][key]
    }
    assert switched == points
    assert {(g, k) for g, k in points if authors[g][k] != paper[g][k]} == points


@pytest.mark.parametrize("studies", [SHIPPED, SHIPPED_BLEND], ids=lambda path: path.stem)
def test_the_shipped_studies_train_every_arm_on_equal_terms(studies):
    base = plan(studies)[0].config
    steps: dict[str, set[int]] = {}
    for one in plan(studies):
        steps.setdefault(one.study.name, set()).add(one.config.optim.steps)
        assert one.config.optim.learning_rate == base.optim.learning_rate, one.arm.name
        assert one.config.optim.schedule == base.optim.schedule, one.arm.name
        assert one.study.name in ("noise", "seed") or one.config.seed == base.seed, one.arm.name
        assert one.config.validation.every == 0, one.arm.name
    assert all(len(of_study) == 1 for of_study in steps.values()), steps


def test_the_studies_of_the_blend_leave_out_each_term_and_each_part_once():
    planned = [one for one in plan(SHIPPED_BLEND) if one.study.name == "terms"]
    whole = planned[0].config.loss
    weighted = {key for key, value in whole.model_dump().items() if key in KEYS and value}
    left_out = [
        key
        for one in planned
        for key, value in whole.model_dump().items()
        if value and not getattr(one.config.loss, key)
    ]
    assert sorted(left_out) == sorted(weighted)
    for one in plan(SHIPPED_BLEND):
        start_network(one.config)  # every name of a part that is left out is one


def test_the_first_arm_of_the_tasks_is_the_papers_loss_and_nothing_else():
    first = next(one for one in plan(SHIPPED_BLEND) if one.study.name == "tasks").config.loss
    assert (first.tasks, first.use_masks, first.use_tuner) == (1, True, True)
    assert not any(getattr(first, key) for key in KEYS)


def test_the_studies_of_the_blend_begin_with_the_losses_and_the_data_that_ship():
    base = load_config(CONFIGS / "ablation-blend-base.toml")
    ships = load_config(CONFIGS / "pyramid-blend-2.1.0.toml")
    assert base.loss == ships.loss
    assert base.network == ships.network
    assert base.data.model_copy(update={"workers": ships.data.workers}) == ships.data


def test_the_study_of_other_networks_asks_for_fourteen_trainings():
    """Three networks by four losses, and two more seeds of one of them."""
    studies = plan_studies(CONFIGS / "other-networks.toml")
    configs = {one.config.name: one.config for study in studies for one in study}
    assert len(configs) == 14
    assert Counter(config.network.architecture for config in configs.values()) == {
        "hyperp-mb": 6,
        "u2fusion": 4,
        "transmef": 4,
    }
    assert len({config.optim.model_dump_json() for config in configs.values()}) == 1
