"""The words of the page for what headers and problem documents say, by its own functions."""

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def call(browser, server):
    """Calls a function of one of the page's modules."""
    page = browser.new_page()
    page.goto(f"{server.base_url}/")

    def run(module, name, *given):
        code = """async ([module, name, given]) =>
            (await import(`./page/js/${module}.js`))[name](...given)"""
        return page.evaluate(code, [module, name, list(given)])

    yield run
    page.close()


@pytest.mark.parametrize(
    ("header", "title", "words"),
    [
        ("off", "Not aligned", "Alignment is off."),
        ("identity; inliers=40; ratio=0.9", "Held still", "lie on each other"),
        ("identity; one exposure adds something", "Held still", "Only one exposure"),
        (
            "homography; inliers=9; ratio=0.5; max-corner-shift-px=12.40; reference=over",
            "Aligned",
            "12 pixels",
        ),
        ("homography; 1=identity; 3=homography", "Aligned", "Exposure 3 moved"),
        ("refused; reason=few_matches", "Fused as they lie", "too little in common"),
        ("refused; 1=refused; reason=few_inliers; 3=homography", "Fused as they lie", "Exposure 1"),
    ],
)
def test_alignment(call, header, title, words):
    said = call("report", "describeAlignment", header)
    assert said["title"] == title
    assert words in said["words"]


@pytest.mark.parametrize(
    ("header", "title"),
    [
        ("off; replaced=0.0000", "Not looked for"),
        ("auto; replaced=0.0000", "Nothing moved"),
        ("auto; replaced=0.0312", "Movement shown once"),
    ],
)
def test_ghosts(call, header, title):
    assert call("report", "describeGhosts", header)["title"] == title


def test_exposures_that_were_not_used(call):
    assert call("report", "describeUse", "none", 3)["title"] == "3 exposures used"
    said = call("report", "describeUse", "2=blank 5=duplicate", 5)
    assert said["title"] == "3 of 5 exposures used"
    assert "Exposure 2 is left out: black or white nearly everywhere" in said["words"]


def test_times_of_every_stage(call):
    times = call("report", "readTimes", "receive;dur=1.5, decode;dur=20.0, fuse;dur=300.2")
    assert [one["stage"] for one in times] == [
        "receive",
        "decode",
        "align",
        "queue",
        "fuse",
        "encode",
    ]
    assert times[4]["ms"] == 300.2


def test_a_problem_names_the_photo_and_says_what_to_do(call):
    problem = {
        "title": "The image is damaged",
        "detail": "exposures[2] of 3: expected a JPEG, got half of one",
        "code": "image-damaged",
    }
    photos = [{"name": "a.jpg"}, {"name": "b.jpg"}, {"name": "c.jpg"}]
    said = call("advice", "explain", problem, photos)
    assert said["detail"] == "b.jpg: expected a JPEG, got half of one"
    assert said["number"] == 2
    assert "Copy this file" in said["advice"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(1 / 250, "1/250 s"), (0.5, "0.5 s"), (2.0, "2 s"), (1 / 3, "0.3 s")]
)
def test_shutter_times_as_cameras_write_them(call, seconds, words):
    assert call("words", "shutter", seconds) == words
