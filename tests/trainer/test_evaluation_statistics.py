"""Means, ranks, intervals and margins of scores."""

import numpy as np
import pytest

from trainer.evaluation.statistics import (
    QUALITY_METRICS,
    SHARPNESS_METRICS,
    average_ranks,
    average_scores,
    bootstrap_difference,
    order_of_merit,
    relative_margin,
)

# Table 1 of the paper.
TABLE_COLUMNS = ("AG", "EI", "LPC-SI", "S3", "SF", "PIQE", "Qabf", "VIFF")
TABLE_1 = {
    "densefuse": (4.1796, 41.3714, 0.9369, 0.1830, 13.7378, 26.0896, 0.4208, 0.4285),
    "u2fusion": (4.7719, 48.9770, 0.9438, 0.1798, 15.3116, 35.4318, 0.3898, 0.4181),
    "transmef": (3.9983, 40.3294, 0.9360, 0.1627, 13.1360, 37.8373, 0.3520, 0.4084),
    "hyperp_mb": (6.1319, 61.6277, 0.9543, 0.2369, 19.7974, 25.8651, 0.5059, 0.5477),
}
SCORES = {
    "one": {"a": {"AG": 1.0, "PIQE": 10.0}, "b": {"AG": 2.0, "PIQE": 20.0}},
    "two": {"a": {"AG": 3.0, "PIQE": 30.0}, "b": {"AG": 3.0}},
    "three": {"a": {"AG": 5.0}},
}


def test_margins_of_the_papers_table_are_those_that_it_claims():
    table = {name: dict(zip(TABLE_COLUMNS, row, strict=True)) for name, row in TABLE_1.items()}
    ours = table.pop("hyperp_mb")
    peers = list(table.values())
    assert relative_margin(ours, peers, SHARPNESS_METRICS) == pytest.approx(0.328, abs=5e-5)
    assert relative_margin(ours, peers, QUALITY_METRICS) == pytest.approx(0.2735, abs=5e-5)


def test_a_margin_needs_every_value():
    assert relative_margin({"AG": 2.0}, [{"AG": 1.0}], ("AG", "EI")) is None
    assert relative_margin({"AG": 2.0}, [{"AG": 0.0}], ("AG",)) is None
    assert relative_margin({"AG": 2.0}, [], ("AG",)) is None
    assert relative_margin({"PIQE": 2.0}, [{"PIQE": 4.0}], ("PIQE",)) == 0.5


def test_means_are_over_the_pairs_that_have_a_value():
    means = average_scores(SCORES, ["a", "b", "c"], ["AG", "PIQE"])
    assert means == {"a": {"AG": 3.0, "PIQE": 20.0}, "b": {"AG": 2.5, "PIQE": 20.0}, "c": {}}


def test_ranks_follow_the_direction_share_ties_and_need_every_method():
    # AG: b, then a tie. PIQE, lower is better, on the only pair where both have it: a.
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
    assert interval.pairs == 400
    assert interval.difference == pytest.approx(difference.mean(), rel=1e-9)
    # For 400 pairs the percentile interval is that of the normal distribution to a few percent;
    # pairs that were not kept together would make it seven times as wide.
    half = 1.96 * difference.std() / 20
    assert interval.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(difference.mean() + half, abs=0.1 * half)
    assert bootstrap_difference(ours, other) == bootstrap_difference(ours, other)


def test_one_pair_has_no_interval():
    assert bootstrap_difference({"one": 1.0, "two": 2.0}, {"one": 0.5}) is None
