"""A real evaluation of a copy of the bundled weights goes into its manifest and its card."""

import json
import shutil

import cv2
import numpy as np
import pytest

from model.manifest import read_manifest, write_manifest
from model.release.weights import load_weights
from tests.paths import ROOT
from trainer.__main__ import main
from trainer.commands.card import record_evaluation
from trainer.errors import ConfigError, RunError
from trainer.evaluation import evaluate, read_summary
from trainer.evaluation.methods.weights import WeightsMethod
from trainer.metrics import GUARDS
from trainer.release.model_card import CARD_NAME, render_card

BUNDLED = ROOT / "weights" / "hyperp-mb-1.1.0"
METRICS = ("AG", "PIQE", "MEF-SSIM")
FOUND = [name for name in GUARDS if name != "highlight-texture"]
"""Guards that apply to the scenes: what is burnt out in them is nowhere wide."""


@pytest.fixture(scope="module")
def summary_path(tmp_path_factory):
    """The evaluation of two small scenes, one with a peer, whose label is not the version's."""
    root = tmp_path_factory.mktemp("evaluation")
    rng = np.random.default_rng(5)
    for name in ("desk", "door"):
        (root / "scenes" / name / "peers").mkdir(parents=True)
        scene = cv2.resize(rng.random((20, 24, 3)), (160, 128), interpolation=cv2.INTER_CUBIC)
        for stem, gain in (("under", 0.3), ("over", 1.8)):
            picture = np.rint(np.clip(scene * gain, 0, 1) * 255).astype(np.uint8)
            cv2.imwrite(str(root / "scenes" / name / f"{stem}.png"), picture)
    cv2.imwrite(str(root / "scenes" / "desk" / "peers" / "absent-once.png"), picture)
    evaluate(
        root / "scenes",
        root / "out",
        weights=[WeightsMethod(BUNDLED, label="ours", align="off")],
        methods=("mean",),
        use_peers=True,
        metrics=METRICS,
        workers=1,
        report=False,
    )
    return root / "out" / "summary.json"


@pytest.fixture
def version(tmp_path):
    """A copy of a released version that has not been evaluated."""
    directory = shutil.copytree(BUNDLED, tmp_path / BUNDLED.name)
    write_manifest(read_manifest(directory).model_copy(update={"evaluation": ()}), directory)
    return directory


def test_scores_are_recorded_and_written_into_the_card(version, summary_path, capsys):
    assert main(["card", str(version), "--evaluation", str(summary_path)]) == 0
    assert "not scored on the same 2 scenes: absent-once" in capsys.readouterr().err
    (evaluation,) = load_weights(version).manifest.evaluation  # and the version still loads
    summary = read_summary(summary_path)
    assert (evaluation.dataset, evaluation.pairs, evaluation.align) == ("scenes", 2, "off")
    assert tuple(evaluation.scores) == (*METRICS, *FOUND)
    for label, scores in (("ours", evaluation.scores), ("mean", evaluation.methods["mean"])):
        found = summary.means[label] | summary.guards[label]
        assert scores == pytest.approx(found, abs=1e-6)
    assert set(evaluation.methods) == {"mean"}
    assert set(evaluation.ranks) == {"hyperp-mb-1.1.0", "mean"}
    higher = ("chroma", "highlight-chroma")
    assert evaluation.lower_is_better == ("PIQE", *(name for name in FOUND if name not in higher))
    card = (version / CARD_NAME).read_text()
    assert "**scenes**, means over 2 scenes" in card
    partial = "highlight-chroma, highlight-hue, highlight-lightness"
    assert f"Over the scenes that they apply to: {partial}.\n" in card


def test_an_evaluation_replaces_the_one_of_the_same_set_alone(version, summary_path):
    command = ["card", str(version), "--evaluation", str(summary_path)]
    assert main(command) == 0
    before = (version / "manifest.json").read_bytes(), (version / CARD_NAME).read_bytes()
    assert main(command) == 0
    assert before == ((version / "manifest.json").read_bytes(), (version / CARD_NAME).read_bytes())
    assert main([*command, "--dataset", "Another set"]) == 0
    assert [one.dataset for one in read_manifest(version).evaluation] == ["scenes", "Another set"]


def test_weights_that_failed_on_a_scene_are_recorded_without_ranks(summary_path, capsys):
    summary = read_summary(summary_path)
    lost = summary.model_copy(
        update={
            "counts": {**summary.counts, "ours": 1},
            "lacking": {**summary.lacking, "ours": ("desk",)},
            "mean_rank": {"mean": 1.0},
        }
    )
    evaluation = record_evaluation(read_manifest(BUNDLED), lost).evaluation[-1]
    assert (evaluation.pairs, evaluation.methods, evaluation.ranks) == (1, {}, {})
    # As many scenes, but the other one: no method to compare with.
    assert "same 1 scenes: absent-once, mean" in capsys.readouterr().err


def test_of_several_columns_the_one_with_the_services_options_is_recorded(summary_path):
    summary = read_summary(summary_path)
    assert summary.methods["ours"].exposures == (2, 2)
    options = {"a": ("auto", "off"), "b": ("off", "auto"), "c": ("auto", "auto")}
    methods = {
        label: summary.methods["ours"].model_copy(update={"align": align, "ghosts": ghosts})
        for label, (align, ghosts) in options.items()
    }
    columns = {
        "methods": methods,
        "counts": dict.fromkeys(methods, 2),
        "lacking": {},
        "means": {label: {"AG": float(index)} for index, label in enumerate(methods)},
        "guards": {},
    }
    evaluated = summary.model_copy(update=columns)
    (*_, evaluation) = record_evaluation(read_manifest(BUNDLED), evaluated).evaluation
    assert (evaluation.dataset, evaluation.scores["AG"]) == ("scenes", 2.0)


def test_what_departs_from_the_service_stands_in_the_name_of_the_set(summary_path):
    summary = read_summary(summary_path)
    left = summary.methods["ours"].model_copy(update={"ghosts": "off"})
    departs = {"exposures": "ends", "max_side_px": 640, "methods": summary.methods | {"ours": left}}
    evaluated = summary.model_copy(update=departs)
    (*_, evaluation) = record_evaluation(read_manifest(BUNDLED), evaluated).evaluation
    assert evaluation.dataset == (
        "scenes, reduced to 640 px, darkest and brightest exposure, ghosts left"
    )


def test_two_evaluations_under_one_name_are_refused(version, summary_path, capsys):
    before = (version / "manifest.json").read_bytes()
    command = ["card", str(version), "--evaluation", str(summary_path), str(summary_path)]
    assert main([*command, "--dataset", "Mine"]) == 2
    assert "got two of 'Mine' with align off" in capsys.readouterr().err
    assert (version / "manifest.json").read_bytes() == before


def test_without_options_the_manifest_is_not_touched(version):
    before = (version / "manifest.json").read_bytes()
    (version / CARD_NAME).write_text("old")
    assert main(["card", str(version)]) == 0
    assert (version / "manifest.json").read_bytes() == before
    manifest = read_manifest(version)
    assert (version / CARD_NAME).read_text() == render_card(manifest, parameters=88_225)


@pytest.mark.parametrize(
    "change",
    [{"chroma": "weighted"}, {"reference": "under"}, {"parameters_sha256": "0" * 64}],
)
def test_scores_of_other_weights_or_rules_are_refused(summary_path, change):
    summary = read_summary(summary_path)
    ours = summary.methods["ours"].model_copy(update=change)
    other = summary.model_copy(update={"methods": {**summary.methods, "ours": ours}})
    with pytest.raises(RunError, match="its weights columns are: ours"):
        record_evaluation(read_manifest(BUNDLED), other)


def test_of_two_columns_the_one_aligned_as_the_service_does_is_ours(summary_path):
    summary = read_summary(summary_path)
    aligned = summary.methods["ours"].model_copy(update={"align": "auto"})
    both = summary.model_copy(
        update={
            "methods": {**summary.methods, "aligned": aligned},
            "means": {**summary.means, "aligned": dict.fromkeys(METRICS, 1.0)},
            "counts": {**summary.counts, "aligned": 2},
            "mean_rank": {**summary.mean_rank, "aligned": 3.0},
        }
    )
    evaluation = record_evaluation(read_manifest(BUNDLED), both).evaluation[-1]
    assert evaluation.scores == dict.fromkeys(METRICS, 1.0)
    assert "ours" in evaluation.methods
    assert evaluation.align == "auto"


def test_reduced_pictures_are_told_and_scores_that_are_no_number_left_out(summary_path):
    summary = read_summary(summary_path)
    means = {**summary.means, "ours": {**summary.means["ours"], "AG": float("nan")}}
    changed = summary.model_copy(update={"max_side_px": 100, "means": means})
    evaluation = record_evaluation(read_manifest(BUNDLED), changed, dataset="MEFB").evaluation[-1]
    assert evaluation.dataset == "MEFB, reduced to 100 px"
    assert tuple(evaluation.scores) == ("PIQE", "MEF-SSIM", *FOUND)


def test_texts_by_hand_go_into_the_manifest_and_leave_the_others(version, tmp_path):
    about = tmp_path / "about.toml"
    about.write_text('summary = "A summary."\nlimits = ["One.", "Two."]\n')
    assert main(["card", str(version), "--about", str(about)]) == 0
    about.write_text('intended_use = "A use."\n')
    assert main(["card", str(version), "--about", str(about)]) == 0
    manifest = read_manifest(version)
    assert (manifest.summary, manifest.intended_use) == ("A summary.", "A use.")
    assert manifest.limits == ("One.", "Two.")
    assert "- Two.\n" in (version / CARD_NAME).read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [("limit = []", "key 'limit'"), ('limits = "one"', "key 'limits'"), ("]", "not TOML")],
)
def test_texts_that_are_none_are_told(version, tmp_path, capsys, text, said):
    about = tmp_path / "about.toml"
    about.write_text(text)
    assert main(["card", str(version), "--about", str(about)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"{ConfigError.code}: 'about.toml'")
    assert said in errors


def test_an_evaluation_that_is_none_changes_nothing(version, tmp_path, capsys):
    before = (version / "manifest.json").read_bytes()
    (tmp_path / "summary.json").write_text(json.dumps({"means": {}}))
    assert main(["card", str(version), "--evaluation", str(tmp_path / "summary.json")]) == 2
    assert "no evaluation summary" in capsys.readouterr().err
    assert (version / "manifest.json").read_bytes() == before
