import csv
import json
import shlex
import shutil

import numpy as np
import pytest
import torch

from tests.trainer.photographs import make_exif, save, save_bracket, turn
from trainer.__main__ import main
from trainer.commands.prepare import describe
from trainer.config import DataConfig, load_config
from trainer.data.preparation.prepare import Preparation, prepare, split_scenes
from trainer.data.preparation.tables import MANIFEST_COLUMNS
from trainer.data.stacks import list_exposures
from trainer.data.triples import TripleDataset
from trainer.errors import DataError

OWN = DataConfig(side_px=176, licences=("own",))
SIZE = (320, 280)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two brackets in folders, one by hand; one bracket twice on a card; two that are unusable."""
    tree = tmp_path_factory.mktemp("photographs") / "walk"
    save_bracket(tree / "desk", seed=1, size=SIZE)
    hands = [turn(0.5, (4, -3), *SIZE), np.eye(3), turn(-0.3, (-4, 2), *SIZE)]
    save_bracket(tree / "garden", seed=2, size=SIZE, homographies=hands)
    save_bracket(tree / "card", seed=3, size=SIZE, begin_s=0)
    save_bracket(tree / "card", (0, -2, 2), seed=4, size=SIZE, begin_s=60, first=4)
    save_bracket(tree / "pair", (-2, 0), seed=5, size=SIZE)
    shutil.copytree(tree / "desk", tree / "desk (copy)")
    (tree / "desk" / "IMG_0001.CR3").write_bytes(b"raw")
    return tree


@pytest.fixture(scope="module")
def data(tree, tmp_path_factory):
    """The data root that the tree becomes."""
    data = tmp_path_factory.mktemp("prepared") / "data"
    prepare(tree, data)
    return data


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def content(data):
    """Every file of a data root by its path."""
    files = sorted(path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in files}


def test_every_bracket_is_accepted_or_refused_with_a_reason(data):
    report = {row["scene"]: row for row in rows(data / "report.csv")}
    assert {name: row["reason"] for name, row in report.items()} == {
        "card-IMG_0001": "",
        "card-IMG_0004": "",
        "desk": "",
        "desk-copy": "duplicate",
        "garden": "",
        "pair": "too_few_exposures",
    }
    assert report["desk-copy"]["detail"] == "the same files as 'desk'"
    assert report["pair"]["status"] == "refused"
    assert report["garden"]["status"] == "accepted"
    assert float(report["garden"]["shifts_px"].split()[0]) > 4
    assert float(report["garden"]["cropped_share"]) > 0.02
    assert float(report["card-IMG_0004"]["span_ev"]) == pytest.approx(4, abs=0.01)
    assert report["card-IMG_0004"]["grouped_by"] == "exif"


def test_the_manifest_is_that_of_a_data_root(data):
    text = (data / "manifest.csv").read_text()
    assert tuple(text.splitlines()[0].split(",")) == MANIFEST_COLUMNS
    listed = rows(data / "manifest.csv")
    assert [row["path"] for row in listed] == [
        "stacks/card-IMG_0001",
        "stacks/card-IMG_0004",
        "stacks/desk",
        "stacks/garden",
    ]
    for row in listed:
        assert row["kind"] == "stack"
        assert row["use"] in ("train", "validate")
        assert (row["licence"], row["source"]) == ("own photographs", "walk")
        assert int(row["exposures"]) == len(list_exposures(data / row["path"])) == 3
        assert None not in row
    assert (int(listed[2]["width"]), int(listed[2]["height"])) == SIZE
    assert "nothing moved" in listed[2]["notes"]
    assert "aligned" in listed[3]["notes"]


def test_training_on_it_needs_the_consent_that_the_refusal_names(data):
    with pytest.raises(DataError) as refusal:
        TripleDataset(data, DataConfig(side_px=176), seed=1, length=4)
    expected = 'data.licences=["CC0", "MIT", "Apache-2.0", "own photographs"]'
    assert f"--set '{expected}'" in refusal.value.message
    dataset = TripleDataset(data, OWN, seed=1, length=4)
    assert {source.licence for source in dataset.sources} == {"own photographs"}


def test_photographs_alone_give_triples_dark_to_bright(data):
    dataset = TripleDataset(data, OWN, seed=1, length=20)
    for index in range(10):
        triple = dataset[index]
        assert triple.shape == (3, 1, 176, 176)
        under, correct, over = triple.mean(dim=(1, 2, 3)).tolist()
        assert under < correct < over
    assert (dataset[0] != dataset[1]).any()
    torch.testing.assert_close(dataset[3], dataset[3], rtol=0, atol=0)


def test_a_run_trains_on_the_prepared_root(data, config_file, tmp_path):
    arguments = ["train", str(config_file), "--data", str(data), "--set", "optim.steps=2"]
    assert main([*arguments, "--out", str(tmp_path / "refused")]) == 2
    consent = ["--set", 'data.licences=["own"]', "--out", str(tmp_path / "run")]
    assert main([*arguments, *consent]) == 0
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["steps"] == 2
    assert {one["licence"] for one in record["data"]} == {"own photographs"}


def test_another_process_gives_what_this_one_gives(tree, data, tmp_path):
    prepare(tree / "desk", tmp_path / "data", workers=1)
    assert content(tmp_path / "data" / "stacks") == {
        f"desk/{path}": pixels for path, pixels in content(data / "stacks" / "desk").items()
    }


def test_a_second_call_redoes_only_what_changed(tree, data, tmp_path):
    own_tree, own_data = tmp_path / "walk", tmp_path / "data"
    shutil.copytree(tree, own_tree)
    shutil.copytree(data, own_data)
    before = content(own_data)
    times = {path: path.stat().st_mtime_ns for path in own_data.rglob("*.png")}
    assert prepare(own_tree, own_data).reused == 5  # four accepted and one refused
    assert content(own_data) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times

    save_bracket(own_tree / "pair", (2,), seed=5, size=SIZE, first=3)  # now it is three
    shutil.rmtree(own_tree / "garden")
    shutil.rmtree(own_data / "stacks" / "card-IMG_0001")
    done = prepare(own_tree, own_data)
    assert (done.reused, done.removed) == (2, 1)
    assert sorted(done.uses) == ["card-IMG_0001", "card-IMG_0004", "desk", "pair"]
    after = content(own_data)
    assert not [path for path in after if "garden" in path]
    redone = [path for path in before if path.startswith("stacks/card-IMG_0001/")]
    assert len(redone) == 3
    assert all(after[path] == before[path] for path in redone)


def test_other_options_redo_what_they_change(tree, data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    arguments = {"licence": "CC0-1.0", "source": "me", "validate_share": 0.0}
    done = prepare(tree, tmp_path / "data", **arguments)
    assert done.reused == 5
    listed = rows(tmp_path / "data" / "manifest.csv")
    assert {(row["licence"], row["source"], row["use"]) for row in listed} == {
        ("CC0-1.0", "me", "train")
    }
    assert TripleDataset(tmp_path / "data", DataConfig(side_px=176), seed=1, length=1).sources
    prepare(tree / "desk", tmp_path / "desk")
    done = prepare(tree / "desk", tmp_path / "desk", max_side_px=300)
    assert done.reused == 0
    assert rows(tmp_path / "desk" / "manifest.csv")[0]["width"] == "300"


def test_a_killed_run_is_taken_up_where_it_ended(tree, data, tmp_path):
    out = tmp_path / "data"
    shutil.copytree(data, out)
    lines = (out / "prepared.jsonl").read_text().splitlines()
    (out / "prepared.jsonl").write_text("\n".join([*lines[:4], lines[4][:40]]))
    (out / "stacks" / "garden").rename(out / "stacks" / ".garden.partial")
    for name in ("manifest.csv", "report.csv"):
        (out / name).unlink()
    assert prepare(tree, out).reused == 3
    assert content(out) == content(data)


def test_a_folder_that_holds_something_else_is_never_written_to(tree, data, data_root, tmp_path):
    before = content(data_root)
    with pytest.raises(DataError, match="neither"):
        prepare(tree, data_root)
    assert content(data_root) == before
    save_bracket(tmp_path / "other" / "scene")
    before = content(data)
    with pytest.raises(DataError, match="another tree"):
        prepare(tmp_path / "other", data)
    assert content(data) == before


def test_a_tree_that_shares_names_with_another_is_another(tree, data, tmp_path):
    save_bracket(tmp_path / "other" / "desk", seed=9, size=SIZE)
    before = content(data)
    with pytest.raises(DataError, match="another tree"):
        prepare(tmp_path / "other", data)
    assert content(data) == before


def test_a_tree_that_is_grouped_anew_or_exported_anew_is_the_same(tmp_path):
    walk, out = tmp_path / "walk", tmp_path / "data"
    save_bracket(walk / "card", seed=3, size=SIZE, begin_s=0)
    save_bracket(walk / "card", (0, -2, 2), seed=4, size=SIZE, begin_s=60, first=4)
    assert sorted(prepare(walk, out).uses) == ["card-IMG_0001", "card-IMG_0004"]
    done = prepare(walk, out, by="folder")
    assert not done.uses.keys() & {"card-IMG_0001", "card-IMG_0004"}
    assert done.removed == 2
    save_bracket(walk / "card", seed=5, size=SIZE, begin_s=0)
    save_bracket(walk / "card", (0, -2, 2), seed=6, size=SIZE, begin_s=60, first=4)
    assert sorted(prepare(walk, out).uses) == ["card-IMG_0001", "card-IMG_0004"]


def test_a_use_that_was_set_by_hand_is_kept(tree, data, tmp_path):
    out = tmp_path / "data"
    shutil.copytree(data, out)
    path = out / "manifest.csv"
    automatic = {row["path"]: row["use"] for row in rows(path)}
    other = "train" if automatic["stacks/desk"] == "validate" else "validate"
    changed = path.read_text().replace(
        f"stacks/desk,stack,{automatic['stacks/desk']}", f"stacks/desk,stack,{other}"
    )
    changed = changed.replace(
        f"stacks/garden,stack,{automatic['stacks/garden']}", "stacks/garden,stack,none"
    )
    path.write_text(changed)
    for _ in range(2):
        assert prepare(tree, out).uses["garden"] == "none"
    assert path.read_text() == changed
    uses = prepare(tree, out, validate_share=0.0).uses
    assert uses == {
        "card-IMG_0001": "train",
        "card-IMG_0004": "train",
        "desk": other,
        "garden": "none",
    }


def test_links_that_lead_nowhere_and_what_cannot_be_opened_stop_nothing(tree, tmp_path):
    walk = tmp_path / "walk"
    shutil.copytree(tree / "desk", walk / "desk")
    (walk / "desk" / "IMG_0009.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (walk / "lost").mkdir()
    for number in range(3):
        (walk / "lost" / f"{number}.jpg").symlink_to(tmp_path / "nowhere.jpg")
    done = prepare(walk, tmp_path / "data")
    assert list(done.uses) == ["desk"]
    assert done.refused == {"unreadable": 1}
    assert "IMG_0009.jpg is no image" in done.outcomes[0].notes
    assert prepare(walk, tmp_path / "data").reused == 2


def test_no_folder_and_no_photographs_are_refused(tmp_path):
    with pytest.raises(DataError, match="is none"):
        prepare(tmp_path / "nowhere", tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        prepare(tmp_path / "empty", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_command_line_tells_what_was_done(tree, data, tmp_path, capsys):
    shutil.copytree(data, tmp_path / "data")
    arguments = ["prepare", str(tree), "--out", str(tmp_path / "data"), "--workers", "0"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "accepted: 4" in said
    assert "refused, duplicate: 1" in said
    assert "unchanged since the last call: 5" in said
    assert ".cr3 (1)" in said
    assert "--set 'data.licences=[\"own photographs\"]'" in said
    assert main([*arguments, "--licence", "MIT"]) == 0
    assert "--set" not in capsys.readouterr().out


@pytest.mark.parametrize("licence", ["one's own", 'the "free" one', "a\\b $HOME"])
def test_the_option_that_consents_to_a_licence_survives_a_shell_and_toml(licence, tmp_path):
    said = describe(Preparation((), {"one": "train"}, 0, 0, {}), licence)
    words = shlex.split(said.splitlines()[-1].partition("--set ")[2])
    (tmp_path / "run.toml").write_text('name = "a"')
    assert load_config(tmp_path / "run.toml", words).data.licences == (licence,)


def test_the_command_line_ends_with_2_when_nothing_is_accepted(tmp_path, capsys):
    save(tmp_path / "walk" / "alone.png", np.zeros((300, 300, 3), np.uint8), make_exif(0))
    arguments = ["prepare", str(tmp_path / "walk"), "--out", str(tmp_path / "data")]
    assert main([*arguments, "--workers", "0"]) == 2
    assert "refused, too_few_exposures: 1" in capsys.readouterr().out
    assert rows(tmp_path / "data" / "manifest.csv") == []


@pytest.mark.parametrize(
    "option",
    [
        ["--validate-share", "1"],
        ["--max-side-px", "255"],
        ["--workers", "-1"],
        ["--licence", "two\nlines"],
        ["--source", " "],
    ],
)
def test_options_out_of_range_are_refused(tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        main(["prepare", str(tmp_path), "--out", str(tmp_path / "data"), *option])
    assert "expected" in capsys.readouterr().err


def test_the_split_depends_on_a_scenes_name_alone_and_leaves_something_to_train_on():
    names = [f"scene-{number}" for number in range(400)]
    uses = split_scenes(names, 0.25)
    share = sum(use == "validate" for use in uses.values()) / len(names)
    assert share == pytest.approx(0.25, abs=0.06)
    assert split_scenes(names[100:200], 0.25) == {name: uses[name] for name in names[100:200]}
    assert list(split_scenes(names[:3], 0.9999).values()).count("train") == 1
    assert split_scenes([], 0.5) == {}


def test_several_scenes_give_one_to_validate_on_unless_none_is_asked_for():
    for number in range(50):
        names = [f"{number}-desk", f"{number}-garden"]
        assert sorted(split_scenes(names, 0.01).values()) == ["train", "validate"]
        assert set(split_scenes(names, 0.0).values()) == {"train"}
    assert split_scenes(["desk"], 0.1) == {"desk": "train"}
