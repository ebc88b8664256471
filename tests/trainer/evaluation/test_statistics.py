"""Means, ranks, intervals and margins of scores."""

import numpy as np
import pytest

from trainer.evaluation.report.statistics import (
    MARGIN_PEERS,
    PAPER_PEERS,
    QUALITY_METRICS,
    SHARPNESS_METRICS,
    average_ranks,
    average_scores,
    bootstrap_difference,
    order_of_merit,
    paper_margin,
    relative_margin,
    select_whole,
)
from trainer.evaluation.report.summarise import summarise
from trainer.evaluation.report.summary import MethodSummary
from trainer.evaluation.scoring import SceneOutcome

SCORES = {
    "one": {"a": {"AG": 1.0, "PIQE": 10.0}, "b": {"AG": 2.0, "PIQE": 20.0}},
    "two": {"a": {"AG": 3.0, "PIQE": 30.0}, "b": {"AG": 3.0}},
    "three": {"a": {"AG": 5.0}},
}


def test_margins_of_the_papers_table_are_those_that_it_claims():
    assert paper_margin(PAPER_PEERS, SHARPNESS_METRICS) == pytest.approx(0.328, abs=5e-5)
    assert paper_margin(PAPER_PEERS, QUALITY_METRICS) == pytest.approx(0.2735, abs=5e-5)


def test_the_papers_margins_over_the_peers_that_are_to_be_had_are_smaller():
    assert paper_margin(MARGIN_PEERS, SHARPNESS_METRICS) == pytest.approx(0.2876, abs=5e-5)
    assert paper_margin(MARGIN_PEERS, QUALITY_METRICS) == pytest.approx(0.2278, abs=5e-5)
    with pytest.raises(ValueError, match="got none"):
        paper_margin((), SHARPNESS_METRICS)


def test_a_margin_needs_every_value():
    assert relative_margin({"AG": 2.0}, [{"AG": 1.0}], ("AG", "EI")) is None
    assert relative_margin({"AG": 2.0}, [{"AG": 0.0}], ("AG",)) is None
    assert relative_margin({"AG": 2.0}, [], ("AG",)) is None
    assert relative_margin({"PIQE": 2.0}, [{"PIQE": 4.0}], ("PIQE",)) == 0.5


def test_means_are_over_the_scenes_that_have_a_value():
    means = average_scores(SCORES, ["a", "b", "c"], ["AG", "PIQE"])
    assert means == {"a": {"AG": 3.0, "PIQE": 20.0}, "b": {"AG": 2.5, "PIQE": 20.0}, "c": {}}


def test_ranks_follow_the_direction_share_ties_and_need_every_method():
    # AG: b, then a tie. PIQE, lower is better, on the only scene where both have it: a.
    ranks = average_ranks(SCORES, ["a", "b"], ["AG", "PIQE"])
    assert ranks == {"a": pytest.approx((2 + 1.5 + 1) / 3), "b": pytest.approx((1 + 1.5 + 2) / 3)}
    assert average_ranks(SCORES, ["a", "b", "c"], ["AG"]) == {}


def test_the_order_of_merit_follows_the_direction():
    assert order_of_merit({"a": 1.0, "b": 2.0}, "AG") == ["b", "a"]
    assert order_of_merit({"a": 1.0, "b": 2.0}, "PIQE") == ["a", "b"]


def test_the_interval_is_that_of_the_paired_differences():
    rng = np.random.default_rng(3)
    level = rng.normal(10, 5, 400)
    difference = rng.normal(0.3, 1.0, 400)
    other = {f"{index}": value for index, value in enumerate(level)}
    ours = {name: value + difference[int(name)] for name, value in other.items()}
    interval = bootstrap_difference(ours | {"more": 99.0}, other)
    assert interval.scenes == 400
    assert interval.difference == pytest.approx(difference.mean(), rel=1e-9)
    # For 400 scenes the percentile interval is that of the normal distribution to a few percent;
    # scenes that were not kept together would make it seven times as wide.
    half = 1.96 * difference.std() / 20
    assert interval.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(difference.mean() + half, abs=0.1 * half)
    assert bootstrap_difference(ours, other) == bootstrap_difference(ours, other)
    assert (interval.higher, interval.lower) == ((difference > 0).sum(), (difference < 0).sum())
    tied = bootstrap_difference({"one": 1.0, "two": 2.0}, {"one": 1.0, "two": 3.0})
    assert (tied.scenes, tied.higher, tied.lower) == (2, 0, 1)


def test_one_scene_has_no_interval():
    assert bootstrap_difference({"one": 1.0, "two": 2.0}, {"one": 0.5}) is None


def test_whole_is_a_method_with_every_scene_or_every_value():
    assert select_whole(SCORES, ["a", "b"]) == ["a"]
    assert select_whole(SCORES, ["a", "b"], "PIQE") == []
    assert select_whole({}, ["a"]) == ["a"]


def summarise_scores(scores, kinds, metrics):
    return summarise(
        [SceneOutcome(name, 2, scores=of_scene) for name, of_scene in scores.items()],
        dataset="made",
        exposures="all",
        max_side_px=None,
        metrics=metrics,
        methods={label: MethodSummary(kind=kind) for label, kind in kinds.items()},
        missing_methods=(),
    )


def test_margins_are_taken_over_the_scenes_that_all_have():
    def all_at(value):
        return dict.fromkeys(SHARPNESS_METRICS, value)

    # On each scene that both have we are 50 % better; the scenes of one alone are easy or hard.
    scores = {
        "both": {"ours": all_at(3.0), "densefuse": all_at(2.0)},
        "both too": {"ours": all_at(6.0), "densefuse": all_at(4.0)},
        "ours alone": {"ours": all_at(60.0)},
        "peer alone": {"densefuse": all_at(90.0)},
        "a value less": {"ours": all_at(50.0), "densefuse": {"AG": 1.0}},
    }
    kinds = {"ours": "weights", "densefuse": "peer"}
    margins = summarise_scores(scores, kinds, SHARPNESS_METRICS).margins
    assert margins.sharpness == pytest.approx(0.5)
    assert margins.quality is None
    assert (margins.peers, margins.scenes) == (("densefuse",), 2)


def test_methods_of_as_many_but_other_scenes_are_not_taken_for_equal():
    scores = {
        "one": {"ours": {"AG": 1.0}, "mean": {"AG": 1.0}, "same": {"AG": 1.0}},
        "two": {"ours": {"AG": 1.0}, "late": {"AG": 1.0}, "same": {"AG": 1.0}},
        "three": {"mean": {"AG": 1.0}, "late": {"AG": 1.0}},
    }
    kinds = {"ours": "weights"} | dict.fromkeys(("mean", "late", "same"), "computed")
    summary = summarise_scores(scores, kinds, ("AG",))
    assert set(summary.counts.values()) == {2}
    assert summary.lacking["late"] == ("one",)
    assert [label for label in kinds if summary.have_same_scenes(label, "ours")] == ["ours", "same"]
    assert summary.mean_rank == {}  # nobody has every scene
    before = summary.model_copy(update={"lacking": {}})  # as older evaluations were written
    assert not before.have_same_scenes("same", "ours")
