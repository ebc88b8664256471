"""The evaluation from a folder of scenes to its documents: contents, resumption, failures."""

import csv
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model import create_pipeline, load_weights, read_manifest
from model.errors import WeightsError
from model.exposure import ExposureStack
from model.fuse import fuse_stack
from tests import images
from tests.paths import ROOT
from trainer.__main__ import main
from trainer.errors import DataError
from trainer.evaluation import Summary, WeightsMethod, evaluate, read_summary
from trainer.evaluation import scoring as scoring_module
from trainer.evaluation.cache import fingerprint_metric, hash_code
from trainer.evaluation.methods.computed import MeanMethod
from trainer.evaluation.methods.enfuse import find_enfuse
from trainer.evaluation.pictures import read_picture, write_png
from trainer.evaluation.report.summary import SCORES_NAME, SUMMARY_NAME
from trainer.evaluation.run import evaluate_scenes
from trainer.evaluation.scenes import list_scenes
from trainer.evaluation.scoring import SceneJob, describe_failure, evaluate_scene
from trainer.metrics import GUARDS, MEASURES, METRICS, mean_chroma, rgb_to_grey, score_fusion
from trainer.metrics.guards import agreement, hue

WEIGHTS = ROOT / "weights"
BENCH_RESULT = WEIGHTS.parent / "bench" / "results" / "evaluation.json"
SHAPE = (180, 190)
QUICK = ("AG", "SF", "Qabf")
ALWAYS = {name for name, guard in GUARDS.items() if guard.applies == "to every scene"}


def exposure(gain, *, shape=SHAPE, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    texture = rng.normal(0, 0.02, (*shape, 1))
    scene = images.scene(*shape) / 255 + texture
    full = np.iinfo(dtype).max
    return np.round(np.clip(scene * gain, 0, 1) * full).astype(dtype)


@pytest.fixture(scope="module")
def weights():
    return WEIGHTS / "hyperp-mb-1.1.0"


@pytest.fixture
def scenes(tmp_path):
    """Two scenes; peers of the first are the mean, one of them at twice the size."""
    root = tmp_path / "scenes"
    for seed, name in enumerate(("first", "second")):
        for role, gain in (("under", 0.35), ("over", 1.4)):
            write_png(root / name / f"{role}.png", exposure(gain, seed=seed))
    mean = mean_of(root, "first")
    write_png(root / "first" / "peers" / "same.png", mean)
    twice = cv2.resize(mean, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    write_png(root / "first" / "peers" / "large.png", twice)
    return root


def mean_of(root, name):
    under, over = (read_picture(root / name / f"{role}.png") for role in ("under", "over"))
    return ((under.astype(np.uint16) + over + 1) // 2).astype(np.uint8)


def run(folder, out, **options):
    """Evaluate in this process; without a report, whose plots take most of the time."""
    given = {"weights": (), "methods": ("mean",), "metrics": QUICK, "workers": 1, "report": False}
    return evaluate(folder, out, **given | options)


def read_scores(out):
    with (out / SCORES_NAME).open(newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["scene", "method", "metric", "value"]
        return {(r["scene"], r["method"], r["metric"]): float(r["value"]) for r in reader}


@pytest.fixture
def fused_calls(monkeypatch):
    """Counts pictures that are written, which is once for each that is fused."""
    calls = []
    write = scoring_module.write_png

    def counting(path, pixels):
        calls.append((path.parent.name, path.stem))
        write(path, pixels)

    monkeypatch.setattr(scoring_module, "write_png", counting)
    return calls


def test_scores_are_the_metrics_of_the_pictures(scenes, tmp_path):
    out = tmp_path / "out"
    summary = run(scenes, out, use_peers=True)
    scores = read_scores(out)
    grey = [rgb_to_grey(read_picture(scenes / "first" / f"{n}.png")) for n in ("under", "over")]
    expected = score_fusion(grey, rgb_to_grey(mean_of(scenes, "first")), names=QUICK)
    for method in ("mean", "same", "large"):
        for metric in QUICK:
            assert scores["first", method, metric] == pytest.approx(expected[metric], rel=1e-12)
    assert summary.counts == {"large": 1, "same": 1, "mean": 2}
    assert summary.mean_rank == {"mean": 1.0}
    both = [scores[name, "mean", "AG"] for name in ("first", "second")]
    assert summary.means["mean"]["AG"] == pytest.approx(sum(both) / 2, rel=1e-12)
    assert (summary.dataset, summary.scenes) == ("scenes", ("first", "second"))
    assert summary.ours is None
    assert read_summary(out) == read_summary(out / SUMMARY_NAME) == summary


def test_guards_are_taken_of_every_picture_and_stand_apart(scenes, tmp_path):
    out = tmp_path / "out"
    write_png(scenes / "first" / "peers" / "negative.png", 255 - mean_of(scenes, "first"))
    summary = run(scenes, out, use_peers=True, metrics=(), methods=("mean", "mertens"))
    assert summary.means == {label: {} for label in summary.methods}
    assert summary.mean_rank == {}
    scores = read_scores(out)
    assert {name for _, _, name in scores} == ALWAYS
    pictures = [read_picture(scenes / "first" / f"{name}.png") for name in ("under", "over")]
    pictures.append(read_picture(out / "fused" / "negative" / "first.png"))
    greys = [rgb_to_grey(picture) for picture in pictures]
    for name in ("inversion", "halo"):
        expected = GUARDS[name].compute(greys[:2], greys[2])
        assert scores["first", "negative", name] == expected > 0
        assert summary.guards["mean"][name] == 0.0
    assert scores["first", "negative", "chroma"] == pytest.approx(mean_chroma(pictures[2]))
    both = [scores[scene, "mean", "chroma"] for scene in ("first", "second")]
    assert (
        summary.guards["mean"]["chroma"] == summary.chroma["mean"] == pytest.approx(sum(both) / 2)
    )


def test_a_guard_that_does_not_apply_to_a_scene_is_left_out_and_known(scenes, tmp_path, computed):
    window = exposure(0.35, seed=1)
    write_png(scenes / "second" / "under.png", window)
    write_png(scenes / "second" / "over.png", np.full_like(window, 255))
    for folder in ("first", "second"):
        write_png(scenes / folder / "peers" / "dark.png", window)
    out, options = tmp_path / "out", {"use_peers": True, "methods": (), "metrics": ("AG",)}
    summary = run(scenes, out, **options)
    assert summary.failures == ()
    scores = read_scores(out)
    for name in set(GUARDS) - ALWAYS:
        assert ("first", "dark", name) not in scores
        assert summary.guards["dark"][name] == scores["second", "dark", name]
        assert name not in summary.guards["same"]  # it has the first scene alone
    assert summary.guards["dark"]["highlight-texture"] == pytest.approx(1.0)
    counts = {name: 2 if name in ALWAYS else 1 for name in GUARDS}
    assert summary.guard_scenes["dark"] == counts
    assert [summary.count_guarded("dark", name) for name in GUARDS] == list(counts.values())
    # What does not apply is known as well, and not asked again.
    assert len(computed) == 4
    record = json.loads((out / "records" / "first.json").read_text())
    assert record["methods"]["dark"]["scores"]["highlight-hue"]["value"] is None
    assert run(scenes, out, **options) == summary
    assert len(computed) == 4
    before = summary.model_copy(update={"guard_scenes": {}})
    assert before.count_guarded("dark", "highlight-hue") == 2


def test_methods_are_ranked_by_eleven_metrics_and_not_by_extras_or_guards(scenes, tmp_path):
    methods = {"methods": ("mean", "mertens")}
    alone = run(scenes, tmp_path / "out", metrics=("AG", "Qabf"), **methods)
    more = run(scenes, tmp_path / "out", metrics=("AG", "Qabf", "Qcb"), **methods)
    assert more.metrics == ("AG", "Qabf", "Qcb")
    assert alone.ranked == more.ranked == ("AG", "Qabf")
    assert alone.mean_rank == more.mean_rank


def test_a_summary_from_before_there_were_guards_is_read(scenes, tmp_path):
    summary = run(scenes, tmp_path / "out", metrics=("AG", "Qcb"))
    document = json.loads((tmp_path / "out" / SUMMARY_NAME).read_text())
    del document["guards"], document["ranked"]
    document["chroma"] = {"mean": 12.5}
    (tmp_path / "out" / SUMMARY_NAME).write_text(json.dumps(document))
    before = read_summary(tmp_path / "out")
    assert before.ranked == ("AG", "Qcb")  # its mean rank was taken over all
    assert before.guards == {"mean": {"chroma": 12.5}}
    assert before.means == summary.means
    assert read_summary(BENCH_RESULT).chroma["mertens"] == pytest.approx(14.445, abs=1e-3)


def test_a_summary_from_before_there_were_stacks_is_read():
    document = json.loads(BENCH_RESULT.read_text())
    assert "pairs" in document
    before = read_summary(BENCH_RESULT)
    assert before.scenes == tuple(document["pairs"])
    assert before.exposures is None
    assert before.count_exposures(before.scenes[0]) == 2
    assert before.intervals["mertens"]["AG"].scenes == 30
    assert before.margins.scenes == document["margins"]["pairs"]
    failed = {"pair": "desk", "method": None, "metric": None, "code": "died", "message": "died"}
    document["failures"] = [failed]
    (failure,) = Summary.model_validate(document).failures
    assert failure.scene == "desk"


def test_a_record_from_before_there_were_guards_keeps_its_scores(scenes, tmp_path, computed):
    first = run(scenes, tmp_path / "out")
    for path in (tmp_path / "out" / "records").iterdir():
        record = json.loads(path.read_text())
        for method in record["methods"].values():
            method["chroma"] = 1.0
            for name in GUARDS:
                del method["scores"][name]
        path.write_text(json.dumps(record))
    computed.clear()
    again = run(scenes, tmp_path / "out")
    assert computed == []
    assert (again.means, again.guards) == (first.means, first.guards)


@pytest.mark.parametrize("name", ["hyperp-mb-1.1.0", "pyramid-blend-2.1.0"])
def test_weights_are_run_as_the_service_runs_them(scenes, tmp_path, name):
    weights, out = WEIGHTS / name, tmp_path / "out"
    summary = run(scenes, out, weights=[WeightsMethod(weights)])
    label, manifest = weights.name, read_manifest(weights)
    assert summary.ours == label
    assert summary.methods[label].weights == manifest.label
    assert summary.methods[label].chroma == manifest.chroma
    assert set(summary.intervals) == {"mean"}
    interval = summary.intervals["mean"]["AG"]
    ours_minus_mean = summary.means[label]["AG"] - summary.means["mean"]["AG"]
    assert interval.difference == pytest.approx(ours_minus_mean, rel=1e-9)
    under, over = (read_picture(scenes / "first" / f"{n}.png") for n in ("under", "over"))
    scene = ExposureStack.from_images([under, over])
    pipeline = create_pipeline(load_weights(weights), device="cpu")
    expected = fuse_stack(scene, pipeline, default=manifest.reference).picture
    fused = read_picture(out / "fused" / label / "first.png")
    np.testing.assert_array_equal(fused, expected)


def test_options_of_weights_are_columns_of_their_own(scenes, tmp_path, weights):
    options = [WeightsMethod(weights), WeightsMethod(weights, "weighted", "off", chroma="weighted")]
    summary = run(scenes, tmp_path, weights=options, methods=(), scenes=["first"])
    assert summary.chroma["weighted"] != summary.chroma[weights.name]
    assert summary.methods["weighted"].align == "off"
    assert summary.intervals == {"weighted": {}}
    with pytest.raises(DataError, match="twice"):
        run(scenes, tmp_path, weights=[options[0], options[0]])


def test_a_second_run_computes_only_what_is_missing(scenes, tmp_path, fused_calls, weights):
    methods = {"weights": [WeightsMethod(weights, "ours")], "use_peers": True}
    first = run(scenes, tmp_path / "out", metrics=["AG"], **methods)
    assert len(fused_calls) == 6
    fused_calls.clear()
    again = run(scenes, tmp_path / "out", metrics=["AG", "SF"], **methods)
    assert fused_calls == []
    assert again.means["ours"]["AG"] == first.means["ours"]["AG"]
    assert again.means["ours"].keys() == {"AG", "SF"}
    assert set(read_scores(tmp_path / "out")) > {("second", "ours", "SF")}


def test_nothing_stale_is_used_again(scenes, tmp_path, fused_calls, weights):
    out = tmp_path / "out"

    def again(**options):
        fused_calls.clear()
        run(scenes, out, use_peers=True, **options)
        return sorted(fused_calls)

    ours = WeightsMethod(weights, "ours")
    assert len(again(weights=[ours])) == 6
    assert again(weights=[ours]) == []
    other = WeightsMethod(weights, "ours", chroma="weighted")
    assert again(weights=[other]) == [("ours", "first"), ("ours", "second")]
    write_png(scenes / "second" / "over.png", exposure(1.2))
    assert again(weights=[other]) == [("mean", "second"), ("ours", "second")]
    write_png(scenes / "first" / "peers" / "same.png", exposure(0.8))
    assert again(weights=[other]) == [("same", "first")]
    (out / "fused" / "mean" / "first.png").unlink()
    assert again(weights=[other]) == [("mean", "first")]
    assert len(again(weights=[other], max_side_px=178)) == 6


def test_a_metric_that_is_defined_anew_is_computed_anew(scenes, tmp_path, monkeypatch, fused_calls):
    before = run(scenes, tmp_path / "out")
    fused_calls.clear()
    fingerprint = "trainer.evaluation.run.fingerprint_metric"
    monkeypatch.setattr(fingerprint, lambda name: "other" if name == "AG" else "")
    computed = []
    table = GUARDS | {name: counted(METRICS[name], computed) for name in QUICK}
    monkeypatch.setattr("trainer.evaluation.scoring.MEASURES", table)
    after = run(scenes, tmp_path / "out", metrics=["AG"])
    assert computed == ["AG", "AG"]
    assert fused_calls == []
    assert after.means["mean"]["AG"] == before.means["mean"]["AG"]


def test_a_picture_never_stands_under_the_scores_of_another(scenes, tmp_path, monkeypatch):
    out, peer = tmp_path / "out", scenes / "first" / "peers" / "same.png"
    options = {"use_peers": True, "methods": (), "scenes": ["first"], "report": True}
    before, picture = run(scenes, out, **options), peer.read_bytes()
    write_png(peer, exposure(0.8))

    class Killed:
        reads = "grey"

        @staticmethod
        def compute(*pictures):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trainer.evaluation.scoring.MEASURES", dict.fromkeys(QUICK, Killed) | GUARDS)
        with pytest.raises(KeyboardInterrupt):
            run(scenes, out, **options)
    peer.write_bytes(picture)
    assert run(scenes, out, **options).means == before.means
    fused = read_picture(out / "fused" / "same" / "first.png")
    np.testing.assert_array_equal(fused, read_picture(peer))


def test_a_sheet_that_was_begun_for_other_pictures_is_drawn_again(scenes, tmp_path, monkeypatch):
    out, peer = tmp_path / "out", scenes / "first" / "peers" / "same.png"
    options = {"use_peers": True, "scenes": ["first"], "report": True}
    run(scenes, out, **options)
    thumbnail = out / "thumbnails" / "same" / "first.jpg"
    picture, shown = peer.read_bytes(), thumbnail.read_bytes()
    write_png(peer, exposure(0.8))
    with monkeypatch.context() as patch:
        patch.setattr("trainer.evaluation.report.sheets.arrange_cells", killed)
        with pytest.raises(KeyboardInterrupt):
            run(scenes, out, **options)
    assert thumbnail.read_bytes() != shown
    peer.write_bytes(picture)
    run(scenes, out, **options)
    assert thumbnail.read_bytes() == shown


def killed(*given):
    raise KeyboardInterrupt


@pytest.fixture
def computed(monkeypatch):
    """Counts the values that are computed."""
    computed = []
    table = GUARDS | {name: counted(METRICS[name], computed) for name in QUICK}
    monkeypatch.setattr("trainer.evaluation.scoring.MEASURES", table)
    return computed


def test_other_code_makes_pictures_again_and_scores_those_that_changed(
    scenes, tmp_path, monkeypatch, computed, fused_calls
):
    first = run(scenes, tmp_path / "out")
    computed.clear(), fused_calls.clear()
    monkeypatch.setattr("trainer.evaluation.scoring.hash_code", lambda: "other code, same pictures")
    assert run(scenes, tmp_path / "out").means == first.means
    assert (computed, fused_calls) == ([], [])
    monkeypatch.setattr("trainer.evaluation.scoring.hash_code", lambda: "a darker mean")
    mean = MeanMethod.fuse
    monkeypatch.setattr(MeanMethod, "fuse", lambda self, sources: mean(self, sources) // 2)
    darker = run(scenes, tmp_path / "out")
    assert len(fused_calls) == 2
    assert len(computed) == 2 * len(QUICK)
    assert darker.means["mean"]["AG"] < first.means["mean"]["AG"]


def test_other_greys_of_the_exposures_are_scored_anew(scenes, tmp_path, monkeypatch, computed):
    run(scenes, tmp_path / "out", scenes=["first"])
    computed.clear()
    monkeypatch.setattr("trainer.evaluation.scoring.hash_code", lambda: "another grey")
    monkeypatch.setattr(
        "trainer.evaluation.scenes.rgb_to_grey", lambda rgb: np.ascontiguousarray(rgb[..., 0])
    )
    run(scenes, tmp_path / "out", scenes=["first"])
    assert sorted(computed) == sorted(QUICK)


def test_a_record_from_before_code_was_hashed_keeps_its_scores(scenes, tmp_path, computed):
    first = run(scenes, tmp_path / "out", use_peers=True)
    for path in (tmp_path / "out" / "records").iterdir():
        record = json.loads(path.read_text())
        for method in record["methods"].values():
            del method["code"], method["greys"]
        path.write_text(json.dumps(record))
    computed.clear()
    again = run(scenes, tmp_path / "out", use_peers=True)
    assert computed == []
    assert (again.means, again.guards) == (first.means, first.guards)
    record = json.loads((tmp_path / "out" / "records" / "first.json").read_text())
    assert {method["code"] for method in record["methods"].values()} == {hash_code()}


@pytest.mark.parametrize(
    ("guard", "constant", "value"),
    [
        ("inversion", "CELLS", 31),
        ("inversion", "ORDERED_BY", 1.5),
        ("inversion", "REVERSED_BY", 1.5),
        ("halo", "CELLS", 120),
        ("halo", "STRONG_EDGE", 30.0),
        ("halo", "REACHES", (2, 4, 6)),
        ("halo", "GAIN", 1.9),
        ("halo", "SLACK", 1.9),
        ("hue-worst", "CELL_PX", 8),
        ("colour-rims", "CELLS", 120),
        ("colour-rims", "STRONG_EDGE", 200.0),
        ("colour-rims", "NEAR", 1),
        ("colour-rims", "GAIN", 1.4),
        *(
            (f"highlight-{what}", constant, value)
            for what in ("chroma", "hue", "texture", "lightness")
            for constant, value in (
                ("WHITE", 247),
                ("SHOWN", (40, 215)),
                ("SHOWN", (25, 214)),
                ("LEAST_SHARE", 0.5),
            )
        ),
        ("highlight-chroma", "COLOURED", 8.5),
        ("highlight-hue", "COLOURED", 8.5),
        ("highlight-texture", "MARGIN_PX", 3),
        ("lost-shadows", "HIDDEN_BELOW", 23),
        ("lost-shadows", "SHADOW", (40, 139)),
        ("lost-shadows", "DARKENED_TO", 0.48),
        ("crushed", "VISIBLE", (40, 250)),
        ("crushed", "VISIBLE", (32, 200)),
        ("crushed", "BLACK_BELOW", 7),
    ],
)
def test_a_guard_of_another_constant_is_another_definition(monkeypatch, guard, constant, value):
    before = fingerprint_metric.__wrapped__(guard)
    module = sys.modules[GUARDS[guard].compute.__module__]
    monkeypatch.setattr(module, constant, value)
    assert fingerprint_metric.__wrapped__(guard) != before


@pytest.mark.parametrize(
    ("guard", "constant", "value"),
    [("inversion", "WITNESSES", 3), ("halo", "WITNESSES", 3), ("inversion", "EQUAL_WITHIN", 0.5)],
)
def test_another_agreement_of_stacks_is_another_definition(monkeypatch, guard, constant, value):
    before = fingerprint_metric.__wrapped__(guard).split()
    monkeypatch.setattr(agreement, constant, value)
    of_scene, of_stack = fingerprint_metric.__wrapped__(guard).split()
    assert of_stack != before[1]
    assert constant == "WITNESSES" or of_scene == before[0]


def test_what_compares_is_defined_by_a_scene_and_a_stack():
    counts = {name: len(fingerprint_metric(name).split()) for name in MEASURES}
    assert {name for name, count in counts.items() if count == 2} == {
        name for name, measure in MEASURES.items() if measure.inputs == "sources + fused"
    }


def test_hue_of_other_cells_is_another_definition(monkeypatch):
    before = fingerprint_metric.__wrapped__("hue")
    assert min(float(value) for value in before.split()) > 1
    monkeypatch.setattr(hue, "CELL_PX", 8)
    assert fingerprint_metric.__wrapped__("hue") != before


def test_the_hash_of_the_code_follows_every_file_that_decides_a_picture(monkeypatch):
    read, changed = Path.read_text, []
    monkeypatch.setattr(
        Path, "read_text", lambda path, **how: read(path, **how) + "# " * (path.name in changed)
    )
    hashes = set()
    names = ["computed.py", "enfuse.py", "mertens.py", "peers.py", "weights.py"]
    names += ["scenes.py", "pictures.py", "pixels.py", "grey.py", "decode.py"]
    for name in ("", *names):
        changed[:] = [name]
        hashes.add(hash_code.__wrapped__())
    assert len(hashes) == 1 + len(names)


def counted(metric, computed):
    class Counted:
        reads = metric.reads

        @staticmethod
        def compute(*pictures):
            computed.append(metric.name)
            return metric.compute(*pictures)

    return Counted


def test_bad_scenes_are_reported_and_the_others_scored(scenes, tmp_path, capsys):
    (scenes / "broken").mkdir()
    for role in ("under", "over"):
        (scenes / "broken" / f"{role}.jpg").write_bytes(images.truncated(images.encoded("jpeg")))
    write_png(scenes / "mismatched" / "under.png", exposure(0.3))
    write_png(scenes / "mismatched" / "over.png", exposure(1.0, shape=(180, 200)))
    (scenes / "nothing").mkdir()
    (scenes / "second" / "peers").mkdir()
    (scenes / "second" / "peers" / "same.png").write_bytes(b"no picture")
    summary = run(scenes, tmp_path / "out", use_peers=True)
    assert summary.scenes == ("first", "second")
    said = {(failure.scene, failure.method): failure.code for failure in summary.failures}
    assert said == {
        ("broken", None): "data-invalid",
        ("mismatched", None): "exposure-mismatch",
        ("nothing", None): "data-invalid",
        ("second", "same"): "data-invalid",
    }
    assert summary.counts["same"] == 1
    written = capsys.readouterr().err
    assert "mismatched: exposure-mismatch: expected exposures of equal size" in written
    assert str(scenes) not in (tmp_path / "out" / SUMMARY_NAME).read_text()


def test_a_metric_that_fails_leaves_the_others_standing(scenes, tmp_path):
    for role, gain in (("under", 0.4), ("over", 1.0)):
        write_png(scenes / "small" / f"{role}.png", exposure(gain, shape=(60, 70)))
    summary = run(scenes, tmp_path / "out", metrics=["AG", "MS-SSIM"])
    (failure,) = summary.failures
    assert (failure.scene, failure.method, failure.metric) == ("small", "mean", "MS-SSIM")
    scores = read_scores(tmp_path / "out")
    assert ("small", "mean", "AG") in scores
    assert ("small", "mean", "MS-SSIM") not in scores


class DeadlyMethod:
    """Takes its process with it on one scene, as a decoder that crashes would."""

    label = "deadly"

    def applies_to(self, scene):
        return True

    def fingerprint(self, scene):
        return "deadly"

    def fuse(self, sources):
        if sources.scene.name == "first":
            os._exit(3)
        return sources.exposures.darkest


@pytest.mark.slow
def test_a_process_that_dies_costs_its_scene_alone(scenes, tmp_path, weights):
    methods = (WeightsMethod(weights), MeanMethod(), DeadlyMethod())
    metrics = {"AG": "any", "chroma": "any"}
    jobs = [SceneJob(scene, tmp_path / "pool", methods, metrics) for scene in list_scenes(scenes)]
    first, second = evaluate_scenes(jobs, 2)
    assert [failure.code for failure in first.failures] == ["died"]
    assert list(second.scores) == [weights.name, "mean", "deadly"]
    alone = evaluate_scene(replace(jobs[1], out=tmp_path / "alone"))
    for method, values in second.scores.items():
        assert values.keys() == metrics.keys()
        assert values == pytest.approx(alone.scores[method], rel=1e-12)


def test_16_bits_are_fused_and_kept_as_16_bits(scenes, tmp_path, weights):
    for role, gain in (("under", 0.3), ("over", 1.0)):
        write_png(scenes / "first" / f"{role}.png", exposure(gain, dtype=np.uint16))
    methods = {"weights": [WeightsMethod(weights, "ours")], "methods": ("mean", "mertens")}
    summary = run(scenes, tmp_path, scenes=["first"], **methods)
    assert summary.failures == ()
    assert read_picture(tmp_path / "fused" / "ours" / "first.png").dtype == np.uint16
    means = [summary.means[method]["AG"] for method in ("ours", "mean", "mertens")]
    assert max(means) < 3 * min(means)


def test_a_peer_without_a_profile_has_that_of_its_exposures(tmp_path):
    folder = tmp_path / "scenes" / "wide-gamut"
    (folder / "peers").mkdir(parents=True)
    icc = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
    under, over = exposure(0.4), exposure(1.0)
    (folder / "under.png").write_bytes(images.with_icc(icc, pixels=under))
    (folder / "over.png").write_bytes(images.with_icc(icc, pixels=over))
    write_png(folder / "peers" / "untagged.png", under)
    (folder / "peers" / "tagged.png").write_bytes(images.with_icc(icc, pixels=under))
    run(tmp_path / "scenes", tmp_path / "out", use_peers=True)
    expected = read_picture(folder / "under.png")
    assert (expected != under).any()
    for name in ("untagged", "tagged"):
        fused = read_picture(tmp_path / "out" / "fused" / name / "wide-gamut.png")
        np.testing.assert_array_equal(fused, expected)


def test_names_that_are_unknown_are_refused(scenes, tmp_path, weights):
    for options, message in (
        ({"scenes": ["third"]}, "third"),
        ({"metrics": ["PSNR"]}, "PSNR"),
        ({"methods": ["median"]}, "median"),
        ({"methods": []}, "weights, methods or peers"),
        ({"weights": [WeightsMethod(weights, "a/b")]}, "name a folder"),
    ):
        with pytest.raises(DataError, match=message):
            run(scenes, tmp_path / "out", **options)
    with pytest.raises(WeightsError):
        run(scenes, tmp_path / "out", weights=[WeightsMethod(tmp_path / "absent-1.0.0")])
    assert not (tmp_path / "out").exists()


def test_enfuse_that_is_not_installed_is_said_and_left_out(scenes, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    summary = run(scenes, tmp_path / "out", methods=("mean", "enfuse"))
    assert summary.missing_methods == ("enfuse",)
    assert set(summary.methods) == {"mean"}
    assert "enfuse: not installed" in capsys.readouterr().err


def test_enfuse_that_fails_is_a_failure_of_its_pictures(scenes, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "enfuse"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo enfuse 0 && exit\n'
        "echo no memory for $2 >&2\nexit 1\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    summary = run(scenes, tmp_path / "out", methods=("mean", "enfuse"))
    assert [failure.method for failure in summary.failures] == ["enfuse", "enfuse"]
    assert summary.failures[0].message.endswith("got status 1: no memory for 00.png")


def test_enfuse_that_does_not_end_is_told_without_its_command_line(scenes, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "enfuse"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo enfuse 0 && exit\nexec sleep 60\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.setattr("trainer.evaluation.methods.enfuse.TIMEOUT_S", 0.2)
    summary = run(scenes, tmp_path / "out", methods=("mean", "enfuse"), scenes=["first"])
    (failure,) = summary.failures
    assert failure.message == "expected a picture from enfuse within 0.2 s, got none"


def test_messages_of_libraries_are_shown_without_paths():
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((0, 0)), (2, 2))
    failure = describe_failure(caught.value, "first", "mean")
    assert failure.message == "!ssize.empty()"
    error = subprocess.TimeoutExpired(["/usr/bin/enfuse", "/tmp/under.png"], 1.0)
    assert "/" not in describe_failure(error, "first").message
    assert describe_failure(ValueError("expected a side"), "first").message == "expected a side"


@pytest.mark.skipif(find_enfuse() is None, reason="enfuse is not installed")
def test_enfuse_gives_a_picture_between_its_exposures(scenes, tmp_path):
    summary = run(scenes, tmp_path / "out", methods=("mean", "enfuse"), scenes=["first"])
    assert summary.failures == ()
    fused = read_picture(tmp_path / "out" / "fused" / "enfuse" / "first.png")
    assert exposure(0.35).mean() < fused.mean() < exposure(1.4).mean()


def test_the_command_scores_and_says_by_its_exit_code_whether_it_did(scenes, tmp_path, weights):
    out = tmp_path / "out"
    common = ["evaluate", str(scenes), f"--out={out}", "--workers=1", "--no-report"]
    options = ["--methods=mean,mertens", "--metrics=AG,SF", "--peers", "--max-side-px=178"]
    code = main([*common, "--weights", str(weights), *options, "--align=off"])
    assert code == 0
    summary = read_summary(out)
    assert list(summary.methods) == [weights.name, "large", "same", "mean", "mertens"]
    assert summary.max_side_px == 178
    assert summary.methods[weights.name].align == "off"
    (scenes / "first" / "over.png").write_bytes(b"damaged")
    assert main([*common, "--methods=mean", "--scenes=first"]) == 2
    assert main([*common, "--methods=mean", "--scenes=nobody"]) == 2
