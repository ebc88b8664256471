import re
from pathlib import Path

import pytest

from trainer.ablation.document import read_prose, write_document
from trainer.ablation.plots import average_epochs, plot_study
from trainer.ablation.results import ArmResult, StudyResult
from trainer.ablation.studies import Study
from trainer.ablation.table import format_arms, format_scores, judge_difference
from trainer.commands.ablate import describe_steps
from trainer.errors import RunError
from trainer.evaluation.report.statistics import PairedInterval

LOSSES = {"step": [230.0, 460.0, 690.0], "total": [4.0, 2.0, 1.0], "square_error": [3.0, 1.0, 0.5]}


def make_arm(name, scores, differences=None, **changes):
    values = {
        "name": name,
        "run": f"run-{name}",
        "set": (),
        "evaluation": {},
        "steps": 690,
        "seconds": 12.4,
        "losses": {"total": 1.0, "infidelity": 0.0},
        "scores": scores,
        "chroma": 9.5,
        "mean_rank": 1.5,
        "differences": differences or {},
        "is_complete": True,
        "failure": None,
        "unscored": (),
    }
    return ArmResult(**(values | changes))


@pytest.fixture
def result():
    study = Study.model_validate(
        {
            "name": "sigma",
            "title": "Sigma",
            "question": "How wide?",
            "plot_epochs": True,
            "arm": [{"name": "ten"}, {"name": "fifty"}],
        }
    )
    differences = {
        "AG": PairedInterval(-0.5, -0.7, -0.3, 30),
        "PIQE": PairedInterval(-2.0, -3.0, -1.0, 30),
        "Qabf": PairedInterval(0.01, -0.02, 0.04, 30),
    }
    arms = (
        make_arm("ten", {"AG": 5.0, "PIQE": 30.0, "Qabf": 0.6}),
        make_arm("fifty", {"AG": 4.5, "PIQE": 28.0, "Qabf": 0.61}, differences, set=("loss.s=50",)),
    )
    return StudyResult(study, arms, {"run-ten": LOSSES, "run-fifty": LOSSES}, 30, ("`eval`",))


def test_the_table_marks_the_best_and_what_differs_for_sure(result):
    lines = format_scores(result).splitlines()
    assert lines[0] == "| arm | AG ↑ | PIQE ↓ | Qabf ↑ | mean rank | chroma |"
    assert lines[2] == "| ten | **5.00** | 30.0 | 0.600 | 1.50 | 9.50 |"
    assert lines[3] == "| fifty | 4.50▼ | **28.0**▲ | **0.610** | 1.50 | 9.50 |"


def test_a_difference_counts_by_the_metrics_direction_and_only_beyond_zero():
    above, below = PairedInterval(2, 1, 3, 9), PairedInterval(-2, -3, -1, 9)
    assert (judge_difference("AG", above), judge_difference("AG", below)) == ("▲", "▼")
    assert (judge_difference("PIQE", above), judge_difference("PIQE", below)) == ("▼", "▲")
    assert judge_difference("AG", PairedInterval(1, 0, 2, 9)) == ""
    assert judge_difference("AG", None) == ""


def test_an_arm_that_failed_or_was_not_scored_says_so(result):
    arms = (*result.arms, make_arm("broken", {}, failure="run-mismatch: no"), make_arm("late", {}))
    study = StudyResult(result.study, arms, result.curves, 30, ())
    table = format_arms(study)
    assert "| broken | nothing | 690 | 12 | 1.00 | run-mismatch: no |" in table
    assert "| late | nothing | 690 | 12 | 1.00 | not scored |" in table
    assert "state" not in format_arms(result)
    assert "| broken | - | - | - | 1.50 | 9.50 |" in format_scores(study)


def test_the_document_names_what_was_scored_and_every_failure(result, tmp_path):
    unscored = ("door, run-late, AG: ValueError: expected a finite value",)
    arms = (*result.arms, make_arm("late", {"AG": 1.0}, unscored=unscored))
    study = StudyResult(result.study, arms, result.curves, 29, ("`eval`, reduced to 400 pixels",))
    text = write_document(tmp_path, [study], {}).read_text()
    assert "Means over 29 pairs of `eval`, reduced to 400 pixels:" in text
    assert f"Not scored:\n\n- late: {unscored[0]}\n" in text
    assert "Not scored" not in write_document(tmp_path, [result], {}).read_text()


def test_steps_are_told_by_study_where_they_differ(result):
    def make_result(name, *steps):
        study = result.study.model_copy(update={"name": name})
        arms = tuple(make_arm(str(count), {}, steps=count) for count in steps)
        return StudyResult(study, arms, {}, 30, ())

    usual = [make_result("noise", 460), make_result("data", 460, 460)]
    assert describe_steps(usual) == "460"
    longer = [make_result("sigma", 1840, 1840), *usual, make_result("start", 0, 460, 99)]
    assert describe_steps(longer) == "460; 1840 in sigma; 99, 460 in start"


def test_a_document_that_cannot_be_written_whole_leaves_the_one_before(
    result, tmp_path, monkeypatch
):
    path = write_document(tmp_path, [result], {})
    before = path.read_text()

    def die(source, target):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(OSError, match="no space"):
            write_document(tmp_path, [result], {"Steps": "690"})
    assert path.read_text() == before


def test_writing_again_keeps_the_text_of_people_even_of_absent_studies(result, tmp_path):
    path = write_document(tmp_path, [result], {"Steps": "690"})
    text = path.read_text()
    assert read_prose(text) == {"summary": "", "sigma": ""}
    filled = text.replace("<!-- prose: sigma -->\n", "<!-- prose: sigma -->\n\nTen it *is*.\n\n")
    path.write_text(filled)
    once = write_document(tmp_path, [result], {"Steps": "690"}).read_text()
    assert read_prose(once)["sigma"] == "Ten it *is*."
    assert write_document(tmp_path, [result], {"Steps": "690"}).read_text() == once
    assert read_prose(write_document(tmp_path, [], {}).read_text())["sigma"] == "Ten it *is*."


@pytest.mark.parametrize("mark", ["<!-- end of prose -->", "<!-- prose: sigma -->"])
def test_a_document_with_a_damaged_mark_is_left_as_it_is(result, tmp_path, mark):
    path = write_document(tmp_path, [result], {})
    path.write_text(path.read_text()[::-1].replace(mark[::-1], "", 1)[::-1] + "My text.\n")
    before = path.read_text()
    with pytest.raises(RunError, match="closing mark"):
        write_document(tmp_path, [result], {})
    assert path.read_text() == before


def test_plots_show_every_arm_and_metric_and_are_the_same_each_time(result, tmp_path):
    drawn = plot_study(result, tmp_path)
    names = ["sigma-scores.svg", "sigma-losses.svg", "sigma-epochs.svg"]
    assert [name for _, name in drawn] == names
    first = [(tmp_path / name).read_bytes() for name in names]
    texts = [set(re.findall(r">([^<>\n]+)</text>", svg.decode())) for svg in first]
    assert {"fifty", "AG", "PIQE (lower is better)", "Qabf"} <= texts[0]
    assert {"ten", "fifty", "total loss", "square error", "step"} <= texts[1]
    assert {"ten", "fifty", "epoch (460 steps)"} <= texts[2]
    plot_study(result, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in names] == first
    assert sum(map(len, first)) < 200_000


def test_arms_of_one_training_have_no_loss_plot(result, tmp_path):
    shared = StudyResult(result.study, result.arms, {"run-ten": LOSSES}, 30, ())
    assert "sigma-losses.svg" not in [name for _, name in plot_study(shared, tmp_path)]


def test_an_unfinished_epoch_has_no_mean():
    assert average_epochs([460.0, 900.0, 920.0], [4.0, 2.0, 1.0]) == {1: 4.0, 2: 1.5}
    assert average_epochs([100.0], [4.0]) == {}
