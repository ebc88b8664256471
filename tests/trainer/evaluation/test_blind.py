"""The blind comparison: what the sheets hide, what the key knows, what comes of the judgement."""

import csv
import re
from collections import Counter

import numpy as np
import pytest

from tests import images
from trainer.__main__ import main
from trainer.errors import DataError
from trainer.evaluation import evaluate
from trainer.evaluation.blind.comparison import (
    CROP_SIDE_PX,
    KEY_NAME,
    LARGE_SIDE_PX,
    draw_letters,
    draw_sheet,
    find_regions,
    read_key,
    write_comparison,
)
from trainer.evaluation.blind.judgement import JUDGEMENT_NAME, Judgement, reveal
from trainer.evaluation.pictures import read_picture, write_png
from trainer.evaluation.report.cells import GAP_PX, LABEL_HEIGHT_PX

PAIRS = ("desk", "door", "hall")
LETTERS = {"desk": {"A": "ours", "B": "theirs"}, "door": {"A": "theirs", "B": "ours"}}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """A finished evaluation of three scenes; a peer has pictures of two of them."""
    root = tmp_path_factory.mktemp("blind")
    for number, name in enumerate(PAIRS):
        shape = (120 + 20 * number, 180)
        for role, gain in (("under", 0.4), ("over", 1.2)):
            write_png(root / "scenes" / name / f"{role}.png", images.scene(*shape, gain=gain))
        if name != "hall":
            write_png(root / "scenes" / name / "peers" / "peer.png", images.scene(*shape, gain=0.9))
    evaluate(
        root / "scenes",
        root / "out",
        weights=(),
        methods=("mean", "mertens"),
        use_peers=True,
        metrics=(),
        workers=1,
    )
    return root / "out"


def judge(folder, preferred, better="", worse=""):
    """Fill the template: one value for all scenes, or a value by scene."""
    with (folder / JUDGEMENT_NAME).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        of_scene = preferred if isinstance(preferred, str) else preferred.get(row["scene"], "")
        row |= {"preferred": of_scene, "better": better, "worse": worse}
    with (folder / JUDGEMENT_NAME).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_each_scene_has_a_sheet_a_line_of_the_template_and_letters(evaluation, tmp_path):
    key = write_comparison(evaluation, tmp_path, ["mean", "mertens"], seed=1)
    assert read_key(tmp_path) == key
    assert sorted(path.stem for path in (tmp_path / "sheets").iterdir()) == sorted(PAIRS)
    with (tmp_path / JUDGEMENT_NAME).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["scene", "preferred", "better", "worse"],
        *([name, "", "", ""] for name in PAIRS),
    ]
    for letters in key.letters.values():
        assert sorted(letters) == ["P", "Q"]
        assert sorted(letters.values()) == ["mean", "mertens"]


def test_the_sheet_shows_the_pictures_under_their_letters_unscaled(evaluation, tmp_path):
    key = write_comparison(evaluation, tmp_path, ["mean", "mertens", "peer"], seed=4)
    for scene, letters in key.letters.items():
        sheet = read_picture(tmp_path / "sheets" / f"{scene}.png")
        places = []
        for letter in "PQR":
            fused = read_picture(evaluation / "fused" / letters[letter] / f"{scene}.png")
            top = LABEL_HEIGHT_PX * 2 + fused.shape[0] + GAP_PX  # below the row of the exposures
            rows = sheet[top : top + fused.shape[0]]
            found = [
                left
                for left in range(rows.shape[1] - fused.shape[1] + 1)
                if np.array_equal(rows[:, left : left + fused.shape[1]], fused)
            ]
            places += found
            assert len(found) == 1
        assert places == sorted(places)


def test_only_the_key_knows_which_is_which(evaluation, tmp_path):
    write_comparison(evaluation, tmp_path, ["mean", "mertens"], seed=1)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != KEY_NAME]
    assert len(written) == 1 + len(PAIRS)
    for path in written:
        assert not re.search(rb"mean|mertens", path.name.encode() + path.read_bytes())


def test_orders_are_those_of_the_seed_and_differ_between_scenes():
    names = [f"scene {number}" for number in range(31)]
    letters = draw_letters(["a", "b", "c"], names, 7)
    assert list(letters) == names
    assert letters == draw_letters(["c", "b", "a"], names, 7)
    assert letters != draw_letters(["a", "b", "c"], names, 8)
    assert len({"".join(of_scene.values()) for of_scene in letters.values()}) == 6
    for letter in "PQR":
        counts = Counter(of_scene[letter] for of_scene in letters.values())
        assert sorted(counts.values()) == [10, 10, 11]


def test_a_scene_that_a_method_lacks_is_left_out_and_named(evaluation, tmp_path, capsys):
    key = write_comparison(evaluation, tmp_path, ["peer", "mean"], seed=0)
    assert set(key.letters) == {"desk", "door"}
    assert "hall: left out" in capsys.readouterr().err
    assert not (tmp_path / "sheets" / "hall.png").exists()


@pytest.mark.parametrize(
    ("methods", "scenes", "message"),
    [
        (["mean", "nobody"], None, "expected methods of the evaluation, got nobody"),
        (["mean", "mertens"], ["attic"], "expected scenes of the evaluation, got attic"),
        (["mean", "mean"], None, "expected each of the methods once"),
        (["mean"], None, "expected two to 6 methods to compare, got 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(evaluation, tmp_path, methods, scenes, message):
    with pytest.raises(DataError, match=message):
        write_comparison(evaluation, tmp_path / "out", methods, seed=0, scenes=scenes)
    assert not (tmp_path / "out").exists()


def test_an_evaluation_without_its_report_says_what_is_missing(evaluation, tmp_path):
    scenes = evaluation.parent / "scenes"
    options = {"weights": (), "methods": ("mean", "mertens"), "metrics": (), "workers": 1}
    evaluate(scenes, tmp_path / "bare", report=False, **options)
    with pytest.raises(DataError, match=r"picture 'under/desk.png'.*without --no-report"):
        write_comparison(tmp_path / "bare", tmp_path / "out", ["mean", "mertens"], seed=0)


def test_a_judgement_that_was_begun_is_not_written_over(evaluation, tmp_path):
    write_comparison(evaluation, tmp_path, ["mean", "mertens"], seed=1)
    write_comparison(evaluation, tmp_path, ["mean", "mertens"], seed=2)
    judge(tmp_path, {"door": "A"})
    before = read_key(tmp_path)
    with pytest.raises(DataError, match="got 1 lines that are filled"):
        write_comparison(evaluation, tmp_path, ["mean", "mertens"], seed=3)
    assert read_key(tmp_path) == before


def test_regions_are_where_pictures_differ_most_and_apart():
    rng = np.random.default_rng(2)
    first = rng.integers(0, 256, (90, 150, 3), dtype=np.uint8)
    second, third = first.copy(), first.copy()
    second[50:80, 100:130] ^= 128
    third[5:25, 10:30] ^= 128
    (top, left, side), other = find_regions([first, second, third])
    assert side == 45
    assert top <= 50 <= 80 <= top + side
    assert left <= 100 <= 130 <= left + side
    assert other[0] <= 5
    assert other[1] <= 10
    assert other[1] + side <= left


def test_crops_of_large_pictures_are_at_their_own_scale():
    rng = np.random.default_rng(6)
    pictures = [rng.integers(0, 256, (900, 1800, 3), dtype=np.uint8) for _ in range(2)]
    sheet = draw_sheet({"under": pictures[0]}, dict(zip("AB", pictures, strict=True)))
    bottom = sheet[-CROP_SIDE_PX:]
    assert sheet.shape[1] == 2 * LARGE_SIDE_PX + GAP_PX
    for number, picture in enumerate(pictures):
        for place, (top, left, side) in enumerate(find_regions(pictures)):
            assert side == CROP_SIDE_PX
            start = number * (LARGE_SIDE_PX + GAP_PX) + place * (side + GAP_PX)
            crop = picture[top : top + side, left : left + side]
            np.testing.assert_array_equal(bottom[:, start : start + side], crop)


def test_an_order_of_pictures_tells_who_is_preferred_to_whom():
    letters = {
        "desk": {"A": "ours", "B": "mean", "C": "theirs"},
        "door": {"A": "theirs", "B": "ours", "C": "mean"},
        "lamp": {"A": "mean", "B": "theirs", "C": "ours"},
    }
    judged = [
        Judgement("desk", "ACB", "", ""),
        Judgement("door", "a", "", ""),
        Judgement("lamp", "=", "", ""),
    ]
    said = reveal(judged, letters)
    duels = said.split("preferred to")[1].splitlines()
    cells = {
        row.split("|")[1].strip(): [c.strip() for c in row.split("|")[2:-1]] for row in duels[2:5]
    }
    names = [name.strip() for name in duels[0].split("|")[1:-1]]
    beats = {
        (row, name): count
        for row, of_row in cells.items()
        for name, count in zip(names, of_row, strict=True)
    }
    assert beats["ours", "theirs"] == beats["theirs", "ours"] == "1"
    assert beats["ours", "mean"] == "1"
    assert beats["theirs", "mean"] == "2"
    assert beats["mean", "ours"] == beats["mean", "theirs"] == "0"


@pytest.mark.parametrize("preferred", ["AA", "A=", "AD"])
def test_an_order_that_is_none_is_refused(preferred):
    letters = {"desk": {"A": "ours", "B": "mean", "C": "theirs"}}
    with pytest.raises(DataError, match="some of them from the best on"):
        reveal([Judgement("desk", preferred, "", "")], letters)


def test_more_than_three_pictures_stand_in_two_rows():
    picture = np.full((60, 90, 3), 200, np.uint8)
    three, five = (
        draw_sheet({"under": picture}, dict.fromkeys(letters, picture))
        for letters in ("ABC", "ABCDE")
    )
    assert five.shape[1] == three.shape[1]
    assert five.shape[0] > three.shape[0] + picture.shape[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (31, 31), (30, 31), (900, 1300)])
def test_pictures_of_any_shape_have_regions_within_them(shape):
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(2)]
    # The worst place for a second square: the first one in the middle.
    middle = tuple(slice(side // 3, side - side // 3) for side in shape)
    pictures[1][middle] = 255 - pictures[0][middle]
    regions = find_regions(pictures)
    assert len(regions) == (1 if shape == (1, 1) else 2)
    for top, left, side in regions:
        assert 0 <= top <= shape[0] - side
        assert 0 <= left <= shape[1] - side
        assert side <= CROP_SIDE_PX
    assert draw_sheet({"under": pictures[0]}, dict(zip("AB", pictures, strict=True))).ndim == 3


def test_the_reveal_counts_wins_and_names_the_methods():
    judgements = [
        Judgement("desk", "b", "sky of B", "A pale | A"),
        Judgement("door", "A", "calm; a bit", "Bare"),
    ]
    text = reveal(judgements, LETTERS)
    assert "| theirs | 2 |\n| ours | 0 |" in text
    assert (
        "2 of 2 scenes judged, 0 without preference; sign test p = 0.5; by letter: A 1, B 1."
        in text
    )
    assert "| desk | theirs | sky of theirs | ours pale \\| ours |" in text
    assert "| door | theirs | calm; a bit | Bare |" in text


def test_scenes_without_preference_or_judgement_win_for_nobody():
    judgements = [Judgement("desk", "=", "", "both flat"), Judgement("door", "", "", "")]
    text = reveal(judgements, LETTERS)
    assert "| ours | 0 |\n| theirs | 0 |" in text
    assert "1 of 2 scenes judged, 1 without preference." in text
    assert "| desk | = |  | both flat |" in text
    assert "door" not in text


@pytest.mark.parametrize(
    ("judgements", "message"),
    [
        (
            [Judgement("desk", "C", "", "")],
            "expected A, B, some of them from the best on, or = as preferred of 'desk', got 'C'",
        ),
        ([Judgement("attic", "A", "", "")], "expected each scene of the key once, got 'attic'"),
        ([Judgement("desk", "A", "", "")] * 2, "expected each scene of the key once, got 'desk'"),
        ([Judgement("desk", "", "", "")], "expected a preference in one line at least"),
    ],
)
def test_a_judgement_that_does_not_fit_the_key_is_refused(judgements, message):
    with pytest.raises(DataError, match=message):
        reveal(judgements, LETTERS)


def test_the_command_draws_sheets_and_reveals_what_was_thought(evaluation, tmp_path, capsys):
    options = [f"--out={tmp_path}", "--methods=mean,mertens", "--seed=5", "--scenes=desk,door"]
    assert main(["blind", str(evaluation), *options]) == 0
    assert "2 sheets. Fill in judgement.csv" in capsys.readouterr().out
    letters = read_key(tmp_path).letters
    best = {
        scene: next(k for k, v in of.items() if v == "mertens") for scene, of in letters.items()
    }
    judge(tmp_path, best, better="clear, no rims")
    assert main(["blind", str(tmp_path), "--reveal"]) == 0
    said = capsys.readouterr().out
    assert "| mertens | 2 |\n| mean | 0 |" in said
    assert "| desk | mertens | clear, no rims |  |" in said


def test_what_the_command_lacks_is_said(evaluation, tmp_path, capsys):
    assert main(["blind", str(evaluation), "--methods=mean,mertens"]) == 2
    assert "expected --out" in capsys.readouterr().err
    assert main(["blind", str(tmp_path), "--reveal"]) == 2
    assert "expected key.json of a blind comparison" in capsys.readouterr().err
    write_comparison(evaluation, tmp_path, ["mean", "mertens"], seed=1)
    (tmp_path / JUDGEMENT_NAME).write_text("scene,preferred,better,worse\ndesk,A,clear, no rims,\n")
    assert main(["blind", str(tmp_path), "--reveal"]) == 2
    assert "expected 4 values in line 2 of judgement.csv, got 5" in capsys.readouterr().err
    (tmp_path / JUDGEMENT_NAME).write_text("scene,preferred\n")
    assert main(["blind", str(tmp_path), "--reveal"]) == 2
    assert "got scene, preferred" in capsys.readouterr().err
