import pytest

from model.manifest import DataSource, Evaluation
from model.release.manifest_tables import format_score, group_data, tabulate_scores


def source(name, kind="hdri", licence="CC0", origin="a/b"):
    return DataSource(name=name, kind=kind, licence=licence, source=origin)


def test_data_is_grouped_by_kind_and_licence_with_the_largest_group_first():
    data = [
        source("2", origin="c/d"),
        source("stack", kind="stack", licence="MIT"),
        source("1"),
        source("3", licence="CC0 (elsewhere)"),
    ]
    groups = group_data(data)
    assert [(one.kind, one.licence, len(one.sources)) for one in groups] == [
        ("hdri", "CC0", 2),
        ("hdri", "CC0 (elsewhere)", 1),
        ("stack", "MIT", 1),
    ]
    assert [one.name for one in groups[0].sources] == ["1", "2"]
    assert groups[0].origins == ["a/b", "c/d"]
    assert groups == group_data(reversed(data))


def evaluated(**changes):
    return Evaluation.model_validate(
        {
            "dataset": "set",
            "pairs": 3,
            "scores": {"AG": 4.0, "PIQE": 20.0},
            "methods": {"worse": {"AG": 3.0, "PIQE": 30.0}, "better": {"AG": 5.0}},
            "lower_is_better": ["PIQE"],
        }
        | changes
    )


def test_our_scores_come_first_and_the_best_are_marked(loaded_weights):
    table = tabulate_scores(loaded_weights.manifest, evaluated())
    assert table.header == ["method", "AG", "PIQE (lower)"]
    assert table.rows == [
        ["lively-0.0.1", "4.00", "20.0"],
        ["worse", "3.00", "30.0"],
        ["better", "5.00", ""],
    ]
    assert table.best == {(2, 1), (0, 2)}


def test_other_methods_are_ordered_by_mean_rank_where_it_is_known(loaded_weights):
    ranks = {"better": 1.5, "worse": 2.5, "lively-0.0.1": 2.0}
    table = tabulate_scores(loaded_weights.manifest, evaluated(ranks=ranks))
    assert table.header[-1] == "mean rank (lower)"
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("lively-0.0.1", "2.00"),
        ("better", "1.50"),
        ("worse", "2.50"),
    ]


def test_nothing_is_the_best_of_one(loaded_weights):
    assert tabulate_scores(loaded_weights.manifest, evaluated(methods={})).best == set()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (-0.1234, "-0.123"), (9.876, "9.88"), (123.44, "123.4"), (None, "")],
)
def test_scores_are_written_with_what_counts(value, text):
    assert format_score(value) == text
