"""The model card says what its manifest says, and the committed cards are the generated ones."""

import re
import subprocess

import pytest

from model.manifest import DataSource, Evaluation, count_parameters, read_manifest
from tests.paths import ROOT
from trainer.errors import RunError
from trainer.release.model_card import CARD_NAME, render_card

BUNDLED = ROOT / "weights" / "hyperp-mb-1.1.0"


def committed_versions():
    """The weights directories that git knows; others may lie beside them while one works."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "weights/*/manifest.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    paths = [ROOT / line for line in listing.stdout.splitlines()]
    return sorted({path.parent for path in paths} | {BUNDLED})


@pytest.fixture(scope="module")
def bundled():
    return read_manifest(BUNDLED)


@pytest.fixture
def render(bundled):
    """The card of the bundled manifest with changes, its sections by title."""

    def render(training=None, **changes):
        if training:
            changes["training"] = bundled.training.model_copy(update=training)
        card = render_card(bundled.model_copy(update=changes), parameters=1234)
        title, *sections = re.split(r"^## ", card, flags=re.MULTILINE)
        return {"": title} | dict(section.split("\n", 1) for section in sections)

    return render


@pytest.mark.parametrize("directory", committed_versions(), ids=lambda path: path.name)
def test_every_committed_card_is_what_its_manifest_generates(directory):
    manifest = read_manifest(directory)
    expected = render_card(manifest, parameters=count_parameters(manifest, directory))
    assert (directory / CARD_NAME).read_text(encoding="utf-8") == expected


def test_the_card_names_every_source_licence_and_file(bundled, render):
    card = render()
    for source in bundled.training.data:
        assert f"`{source.name}`" in card["Training data"]
        assert f"| {source.licence} |" in card["Training data"]
        assert source.source in card["Training data"]
    for name, entry in bundled.files.items():
        assert f"| `{name}` | {entry.size_bytes:,} | `{entry.sha256}` |" in card["Files"]
    assert "| parameters | 1,234 |" in card["Network"]
    assert "| receptive field | 17 pixels |" in card["Network"]


def test_the_projects_licence_is_given_to_weights_of_free_data_alone(bundled, render):
    assert "Licence: Apache-2.0." in render()[""]
    own = DataSource(name="mine", kind="stack", licence="own photographs", source="own")
    title = render({"data": (*bundled.training.data, own)})[""]
    assert "Apache-2.0" not in title
    assert "that of the training data below decides" in title
    assert "no training data is recorded" in render({"data": ()})[""]


def test_two_numbers_are_a_range_and_two_words_a_list(render):
    config = "[data]\ngap_ev = [1.0, 4.5]\nlicences = ['CC0', 'own photographs']\n"
    card = render({"config": config})["Training data"]
    assert "| `gap_ev` | 1 to 4.5 |" in card
    assert "| `licences` | CC0, own photographs |" in card


def test_the_card_names_the_run(bundled, render):
    training = {"checkpoint": "best", "exported_step": 900, "started_from": "hyperp-mb-0.9.0"}
    card = render(training)["Training"]
    assert "| begins with | `hyperp-mb-0.9.0` |" in card
    assert "| exported | the state after step 900, which did best on the validation" in card
    assert f"| commit | `{bundled.training.commit}` |" in card
    assert "| steps | 14,000 |" in card
    assert "| seed | 1621 |" in card
    assert "| learning rate | 0.0003 |" in card


@pytest.mark.parametrize(
    ("loss", "said", "unsaid"),
    [
        ("", ["Loss = lambda1 Loss_under + lambda2 Loss_over + Loss_co\n"], ["fidelity"]),
        ("fidelity = 500.0", ["Loss_co + 500 (1 - MEF-SSIM)\n", "from step 0 on"], []),
        (
            "detail = 600.0\ndetail_gain = 1.1\ndetail_scales = 3\nbounds = 30.0\ntone = 2.0",
            [
                "Loss_co + 600 lost gradients + 30 excursion + 2 tone shift\n",
                "1.1 times the stronger",
                "on 3 scales",
            ],
            ["MEF-SSIM"],
        ),
        ("use_masks = false", ["Loss = Loss_co\n"], ["lambda", "MaskBuilder"]),
        ("use_tuner = false", ["lambda1 = lambda2 = 2 / 2"], ["ParamTuner"]),
        ("novelty = 'yes, new'", ["| `novelty` | yes, new |"], []),
    ],
)
def test_the_losses_are_those_of_the_training_config(render, loss, said, unsaid):
    card = render({"config": f"[loss]\nalpha = 1000.0\nbeta = 2.0\n{loss}\n"})["Losses"]
    assert "Loss_i = square error + 1,000 (1 - MS-SSIM)" in card
    for text in said:
        assert text in card
    for text in unsaid:
        assert text not in card


def test_a_manifest_without_a_config_says_so(render):
    assert "Not recorded." in render({"config": ""})["Losses"]
    assert "None recorded." in render({"data": ()})["Training data"]


def test_a_training_config_that_is_no_toml_is_told(render):
    with pytest.raises(RunError, match=r"'hyperp-mb-1\.1\.0' is not TOML"):
        render({"config": "]"})


def test_texts_of_the_manifest_stand_in_the_card(render):
    card = render(summary="A summary.", intended_use="A use.", limits=("One limit.", "Another."))
    assert "\nA summary.\n" in card[""]
    assert card["Intended use"].strip() == "A use."
    assert card["Limits"].rstrip().endswith("\n- One limit.\n- Another.")


def test_limits_follow_from_the_network_and_the_rule_of_chroma(render):
    assert "17 x 17 pixels" in render()["Limits"]
    assert "the mean of the chroma pales" in render(chroma="mean", limits=())["Limits"]
    for rule in ("weighted", "unclipped"):
        assert "pales" not in render(chroma=rule, limits=())["Limits"]


def test_evaluations_are_tables_with_the_best_in_bold(render):
    evaluation = Evaluation(
        dataset="set",
        pairs=30,
        scores={"AG": 4.0, "PIQE": 20.0},
        methods={"peer": {"AG": 5.0, "PIQE": 30.0}},
        ranks={"hyperp-mb-1.1.0": 1.0, "peer": 2.0},
        lower_is_better=("PIQE",),
        align="auto",
    )
    card = render(evaluation=(evaluation, evaluation.model_copy(update={"dataset": "other"})))
    assert (
        card["Evaluation"]
        .strip()
        .startswith(
            "**set**, means over 30 scenes, exposures aligned with `align=auto`:\n\n"
            "| method | AG | PIQE (lower) | mean rank (lower) |\n"
            "| --- | --- | --- | --- |\n"
            "| hyperp-mb-1.1.0 | 4.00 | **20.0** | 1.00 |\n"
            "| peer | **5.00** | 30.0 | 2.00 |\n\n"
            "**other**"
        )
    )
    assert "Not evaluated yet." in render(evaluation=())["Evaluation"]
