"""The report: what its tables mark, that it needs no network, and that its files are there."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import cv2
import pytest

from tests import images
from trainer.evaluation import Summary, evaluate
from trainer.evaluation.pictures import write_png
from trainer.evaluation.report.cells import GAP_PX, LABEL_HEIGHT_PX
from trainer.evaluation.report.page import judge, write_report
from trainer.evaluation.report.statistics import average_scores
from trainer.evaluation.report.summary import Failure, Interval, Margins, MethodSummary
from trainer.metrics import GUARDS

ALWAYS = {name for name, guard in GUARDS.items() if guard.applies == "to every scene"}

LABELS = ("mine-1.0.0", "rival", "sparse", "old")
SCORES = {
    "one": {
        "mine-1.0.0": {"AG": 5.0, "PIQE": 30.0},
        "rival": {"AG": 6.0, "PIQE": 20.0},
        "sparse": {"AG": 99.0, "PIQE": 1.0},
        "old": {"AG": 1.0, "PIQE": 40.0},
    },
    "two </script> & <b>": {
        "mine-1.0.0": {"AG": 7.0, "PIQE": 32.0},
        "rival": {"AG": 5.0, "PIQE": 22.0},
        "old": {"AG": 1.0, "PIQE": 40.0},
    },
}


class Reader(HTMLParser):
    """Rows of the tables with the classes of their cells, and every address of the page."""

    def __init__(self):
        super().__init__()
        self.tables, self.addresses, self._cell = [], [], None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [given[name] for name in ("src", "href") if name in given]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = (given.get("class", ""), [])

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[1].append(data)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            kind, parts = self._cell
            self.tables[-1][-1].append(("".join(parts).strip(), kind))
            self._cell = None


def read(out):
    text = (out / "report.html").read_text()
    reader = Reader()
    reader.feed(text)
    sheets = json.loads(re.search(r"const SHEETS = (.*);\n", text)[1])
    return text, reader, sheets


def table_by_label(table):
    return {cells[0][0]: cells[1:] for cells in table[1:]}


@pytest.fixture
def summary():
    means = average_scores(SCORES, LABELS, ("AG", "PIQE"))
    return Summary(
        dataset="made <here>",
        max_side_px=None,
        scenes=tuple(SCORES),
        metrics=("AG", "PIQE"),
        ours="mine-1.0.0",
        methods={
            label: MethodSummary(kind="weights", weights=label, parameters_sha256="0" * 64)
            if label == "mine-1.0.0"
            else MethodSummary(kind="peer")
            for label in LABELS
        },
        counts={label: 1 if label == "sparse" else 2 for label in LABELS},
        means=means,
        guards={"mine-1.0.0": {"inversion": 0.125, "chroma": 12.345}, "rival": {"inversion": 3.0}},
        ranked=("AG",),
        mean_rank={"mine-1.0.0": 1.75},
        mean_rank_paper={},
        intervals={
            "rival": {
                "AG": Interval(difference=0.5, low=-1.0, high=2.0, scenes=2),
                "PIQE": Interval(difference=10.0, low=9.0, high=11.0, scenes=2, higher=2, lower=0),
                "inversion": Interval(difference=-2.875, low=-3.5, high=-2.25, scenes=2),
            },
            "old": {"PIQE": Interval(difference=-9.0, low=-10.0, high=-8.0, scenes=2)},
        },
        margins=Margins(peers=("densefuse",), sharpness=0.3, quality=None),
        missing_methods=("enfuse",),
        failures=(Failure(scene="three", code="data-invalid", message="expected <a> picture"),),
    )


def test_best_and_second_best_are_marked_among_methods_that_have_every_scene(summary, tmp_path):
    write_report(tmp_path, summary, SCORES)
    _, reader, _ = read(tmp_path)
    header = [text for text, _ in reader.tables[0][0]]
    assert header[1:3] == ["AG ↑", "PIQE ↓"]
    rows = table_by_label(reader.tables[0])
    assert [rows[label][0] for label in LABELS] == [
        ("6.00", "best"),
        ("5.50", "second"),
        ("99.00", ""),
        ("1.00", ""),
    ]
    assert [rows[label][1][1] for label in LABELS] == ["second", "best", "", ""]
    assert [text for text, _ in rows["mine-1.0.0"][2:5]] == ["1.75", "", "2"]


def test_guards_stand_beside_the_metrics_unmarked_with_words_of_their_own(summary, tmp_path):
    write_report(tmp_path, summary, SCORES)
    text, reader, _ = read(tmp_path)
    assert [text for text, _ in reader.tables[0][0]][6:] == ["inversion ↓", "chroma ↑"]
    rows = table_by_label(reader.tables[0])
    assert rows["mine-1.0.0"][5:] == [("0.12", "guard"), ("12.35", "guard")]
    assert rows["rival"][5:] == [("3.00", "guard"), ("", "guard")]
    said = " ".join(text.split())
    assert "over scenes and 1 metrics, 1 is the best; the others are extras" in said
    assert "<b>inversion</b> (lower is better), share in per cent of the tone pairs" in said
    assert "halo" not in said.partition('id="intervals"')[0].partition('id="means"')[2]
    without = summary.model_copy(update={"guards": {}})
    write_report(tmp_path, without, SCORES)
    text, reader, _ = read(tmp_path)
    assert "Guards, to the right" not in text
    assert len(reader.tables[0][0]) == 6


def test_a_guard_that_does_not_apply_to_every_scene_says_to_how_many(summary, tmp_path):
    guards = {label: {"highlight-hue": 4.0, "chroma": 12.0} for label in LABELS}
    counts = {label: {"highlight-hue": 1, "chroma": 2} for label in LABELS}
    counts["sparse"] = {"highlight-hue": 1, "chroma": 1}  # all that it has
    changes = {"guards": guards, "guard_scenes": counts}
    write_report(tmp_path, summary.model_copy(update=changes), SCORES)
    rows = table_by_label(read(tmp_path)[1].tables[0])
    assert rows["rival"][5:] == [("12.00", "guard"), ("4.001 scenes", "guard")]
    assert rows["sparse"][5:] == [("12.00", "guard"), ("4.00", "guard")]


def test_differences_say_what_is_better_with_confidence(summary, tmp_path):
    write_report(tmp_path, summary, SCORES)
    _, reader, _ = read(tmp_path)
    rows = table_by_label(reader.tables[1])
    assert rows["rival"][0] == ("+0.50-1.00 to +2.00", "interval open")
    assert rows["rival"][1] == ("+10.00+9.00 to +11.00; 0 of 2", "interval worse")
    assert rows["rival"][2:] == [("-2.88-3.50 to -2.25", "interval better"), ("", "interval ")]
    assert rows["old"][:2] == [("", "interval "), ("-9.00-10.00 to -8.00", "interval better")]


@pytest.mark.parametrize(
    ("metric", "low", "high", "verdict"),
    [
        ("AG", 0.1, 0.2, "better"),
        ("AG", -0.2, -0.1, "worse"),
        ("AG", -0.1, 0.1, "open"),
        ("AG", 0.0, 0.0, "open"),
        ("PIQE", 0.1, 0.2, "worse"),
        ("PIQE", -0.2, -0.1, "better"),
        ("halo", -0.2, -0.1, "better"),
        ("chroma", -0.2, -0.1, "worse"),
    ],
)
def test_the_verdict_follows_the_direction_of_the_metric(metric, low, high, verdict):
    assert judge(Interval(difference=0.0, low=low, high=high, scenes=9), metric) == verdict


def test_names_cannot_end_the_page_s_elements(summary, tmp_path):
    write_report(tmp_path, summary, SCORES)
    text, _, sheets = read(tmp_path)
    assert text.count("</script>") == 1
    assert "made &lt;here&gt;" in text
    assert "expected &lt;a&gt; picture" in text
    assert [sheet["scene"] for sheet in sheets] == list(SCORES)


def test_failures_missing_methods_and_margins_are_shown(summary, tmp_path):
    write_report(tmp_path, summary, SCORES)
    text, _, _ = read(tmp_path)
    assert "<b>three</b>" in text
    assert "<b>enfuse</b>: not installed" in text
    said = " ".join(text.split())
    assert "<b>+30.0 %</b>; the paper over the same peers" in said
    assert "scenes of which all" not in said  # a summary from before this was recorded
    assert "not computed, a metric is missing" in said
    plain = summary.model_copy(update={"failures": (), "missing_methods": (), "margins": None})
    write_report(tmp_path, plain, SCORES)
    text, _, _ = read(tmp_path)
    assert "could not be scored" not in text
    assert "margins" not in text


def test_the_papers_margins_stand_beside_ours_over_the_same_peers(summary, tmp_path):
    peers = ("densefuse", "u2fusion")
    margins = Margins(peers=peers, scenes=29, sharpness=0.21, quality=-0.04)
    write_report(tmp_path, summary.model_copy(update={"margins": margins}), SCORES)
    text = " ".join(read(tmp_path)[0].split())
    assert "over densefuse and u2fusion on the 29 scenes of which all have every value" in text
    for ours, same, every in (("+21.0", "+28.8", "+32.8"), ("-4.0", "+22.8", "+27.4")):
        expected = (
            f"<b>{ours} %</b>; the paper over the same peers on its own 14 pairs {same} %, "
            f"over its 3 peers (densefuse, u2fusion, transmef) {every} %"
        )
        assert expected in text


def test_the_number_of_resamples_is_the_one_that_is_drawn(summary, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.evaluation.report.page.RESAMPLES", 1234)
    write_report(tmp_path, summary, SCORES)
    assert "the 95 % interval of a paired bootstrap of 1,234 resamples" in read(tmp_path)[0]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A whole evaluation of a scene with an odd name, exposures of 16 bits and a peer."""
    root = tmp_path_factory.mktemp("report")
    scene = {gain: images.scene(180, 240, gain=gain) for gain in (0.3, 0.6, 1.0)}
    folder = root / "scenes" / "100% odd #1 & more"
    write_png(folder / "under.png", scene[0.3].astype("uint16") * 257)
    write_png(folder / "over.png", scene[1.0])
    write_png(folder / "peers" / "peer.png", scene[0.6])
    options = {"weights": (), "methods": ("mean",), "use_peers": True, "metrics": ("AG", "SF")}
    summary = evaluate(root / "scenes", root / "out", workers=1, **options)
    assert summary.failures == ()
    return root, options


def test_the_page_needs_no_network_and_all_that_it_names_is_there(evaluated):
    out = evaluated[0] / "out"
    text, reader, (sheet,) = read(out)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    files = [address for address in reader.addresses if not address.startswith("#")]
    files += [sheet["sheet"]]
    files += [cell[kind] for cell in sheet["cells"] for kind in ("full", "thumbnail")]
    assert len(files) == 2 + (2 + len(ALWAYS)) + 1 + 8
    for address in files:
        assert (out / unquote(address)).is_file(), address


def test_the_crops_are_full_resolution_and_lie_on_each_other(evaluated):
    out = evaluated[0] / "out"
    _, _, (sheet,) = read(out)
    assert [cell["label"] for cell in sheet["cells"]] == ["under", "over", "peer", "mean"]
    for cell in sheet["cells"]:
        full = cv2.imread(str(out / unquote(cell["full"])), cv2.IMREAD_UNCHANGED)
        assert full.shape == (180, 240, 3)
    assert sheet["cells"][0]["scores"] == {}
    assert sheet["cells"][3]["scores"].keys() == {"AG", "SF", *ALWAYS}
    picture = cv2.imread(str(out / unquote(sheet["sheet"])))
    # Two exposures above two methods, none of them reduced.
    assert picture.shape[1] == 2 * 240 + GAP_PX
    assert picture.shape[0] == 2 * (180 + LABEL_HEIGHT_PX) + GAP_PX


def test_sheets_are_drawn_again_only_when_a_picture_changed(evaluated):
    root, options = evaluated
    (sheet,) = (root / "out" / "sheets").iterdir()

    def redrawn(**more):
        before = sheet.stat().st_mtime_ns
        evaluate(root / "scenes", root / "out", workers=1, **options | more)
        return sheet.stat().st_mtime_ns != before

    assert not redrawn()
    assert redrawn(methods=("mean", "mertens"))
    assert not redrawn(methods=("mean", "mertens"), report=False)


def test_an_evaluation_in_which_nothing_was_scored_is_reported_too(tmp_path):
    (tmp_path / "scenes" / "broken").mkdir(parents=True)
    given = {"weights": (), "methods": ("mean",), "metrics": ("AG",), "workers": 1}
    summary = evaluate(tmp_path / "scenes", tmp_path / "out", **given)
    assert summary.scenes == ()
    text, _, sheets = read(tmp_path / "out")
    assert sheets == []
    assert "<b>broken</b>: expected one under" in text
