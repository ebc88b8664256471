"""What the table of an ablation says of an evaluation."""

import pytest

from trainer.ablation.document import StudyResult, write_document
from trainer.ablation.studies import plan_studies
from trainer.evaluation.report.summary import Interval, MethodSummary, Summary

STUDIES = """
base = "base.toml"
[[study]]
name = "masks"
title = "Masks"
question = "With or without?"
arm = [
    { name = "with" },
    { name = "without", set = ["loss.use_masks=false"] },
    { name = "norm", set = ["loss.square_error=norm"] },
]
"""


@pytest.fixture
def arms(tmp_path):
    (tmp_path / "base.toml").write_text('name = "base"\n')
    (tmp_path / "studies.toml").write_text(STUDIES)
    (arms,) = plan_studies(tmp_path / "studies.toml")
    return arms


def summarise(arms, intervals, ours):
    labels = [one.label for one in arms]
    return Summary(
        dataset="set",
        max_side_px=None,
        scenes=("a", "b"),
        metrics=("AG", "PIQE"),
        ours=ours,
        methods={label: MethodSummary(kind="weights") for label in labels},
        counts=dict.fromkeys(labels, 2),
        means={
            label: {"AG": 4.0 + number, "PIQE": 30.0 + number}
            for number, label in enumerate(labels)
        },
        guards={label: {"inversion": 1.0 + number} for number, label in enumerate(labels)},
        ranked=("AG", "PIQE"),
        mean_rank=dict.fromkeys(labels, 1.5),
        mean_rank_paper={},
        intervals=intervals,
        margins=None,
        missing_methods=(),
        failures=(),
    )


def test_an_arm_is_marked_where_its_difference_to_the_first_one_is_sure(arms, tmp_path):
    sure = Interval(difference=-1.0, low=-1.5, high=-0.5, scenes=2)  # the first arm has less
    open_ = Interval(difference=-2.0, low=-4.5, high=0.5, scenes=2)
    intervals = {
        arms[1].label: {"AG": sure, "PIQE": sure, "inversion": sure},
        arms[2].label: {"AG": open_},
    }
    summary = summarise(arms, intervals, arms[0].label)
    path = write_document(tmp_path, [StudyResult(arms, summary, {})], studies="x.toml")
    rows = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    assert rows[0].startswith("| arm | differs from the base in | steps | AG ↑ | PIQE ↓ | mean")
    assert rows[2].startswith("| with | nothing | 0 | 4.00 | **30.0** | 1.50 |")
    assert rows[3].startswith("| without | `loss.use_masks=false` | 0 | 5.00▲ | 31.0▼ |")
    assert rows[4].startswith("| norm | `loss.square_error=norm` | 0 | **6.00** | 32.0 |")
    assert rows[5:] == [
        "| arm | inversion ↓ |",
        "| --- | --- |",
        "| with | 1.00 |",
        "| without | 2.00▼ |",
        "| norm | 3.00 |",
    ]


def test_without_the_first_arm_nothing_is_marked_and_a_failure_cannot_break_the_table(
    arms, tmp_path
):
    sure = Interval(difference=-1.0, low=-1.5, high=-0.5, scenes=2)
    summary = summarise(arms[1:], {arms[2].label: {"AG": sure}}, arms[1].label)
    failures = {arms[0].config.name: "one | two\nthree"}
    path = write_document(tmp_path, [StudyResult(arms, summary, failures)], studies="x.toml")
    text = path.read_text()
    assert "5.00▲" not in text
    assert "| one \\| two three |" in text
