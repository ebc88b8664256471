"""A whole folder on the page: brackets found, put right by hand, fused, paused, saved."""

import io
import re
import zipfile

import pytest
from PIL import Image

from tests.browser import files
from tests.browser.test_ways_in import drop

pytestmark = pytest.mark.e2e
STEPS_EV = (0, -2, 2)
BRACKETS = ".bracket:not(.alone)"
FUSION = re.compile(r"/fuse(\?|$)")


@pytest.fixture
def shoot(tmp_path):
    """Twelve files in a folder: four brackets of three, a minute apart; and a note beside them."""
    folder = tmp_path / "2024-05-01"
    (folder / "kitchen").mkdir(parents=True)
    number = 0
    for scene in range(4):
        for second, ev in enumerate(STEPS_EV):
            number += 1
            taken = f"2024:05:01 10:{scene:02}:{second:02}"
            place = folder / "kitchen" if scene == 3 else folder
            content = files.photo(ev, taken=taken, shift=9 * scene)
            (place / f"IMG_{number:04}.JPG").write_bytes(content)
    (folder / "notes.txt").write_text("keys are with the neighbour")
    return folder


def open_shoot(visit, folder):
    visit.choose(folder, by="#folder")
    visit.page.wait_for_selector(".bracket")


def counts(visit):
    return [
        visit.page.locator(".bracket").nth(index).locator(".bracket-photo").count()
        for index in range(visit.page.locator(".bracket").count())
    ]


def test_twelve_files_are_four_brackets_fused_and_saved_as_a_zip(visit, shoot):
    open_shoot(visit, shoot)
    assert counts(visit) == [3, 3, 3, 3]
    assert "notes.txt" in visit.page.inner_text("#notice")
    assert "4 brackets in 12 photos" in visit.page.inner_text("#shoot-note")
    assert visit.page.inner_text("#shoot-fuse") == "Fuse 4 brackets"
    visit.page.click("#shoot-fuse")
    visit.wait_for_count(".bracket.done", 4)
    assert "4 brackets done." in visit.page.inner_text("#shoot-words")
    with visit.page.expect_download() as waiting:
        visit.page.click("#shoot-zip")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == [f"IMG_{number:04}_fused.jpg" for number in (1, 4, 7, 10)]
        for name in names:
            picture = Image.open(io.BytesIO(archive.read(name)))
            picture.load()
            assert picture.size == (144, 96)
    with visit.page.expect_download() as waiting:
        visit.page.locator(".bracket").nth(1).get_by_text("Download").click()
    assert waiting.value.suggested_filename == "IMG_0004_fused.jpg"
    visit.page.locator(".bracket").nth(2).get_by_text("Compare").click()
    visit.page.wait_for_selector("img-comparison-slider.rendered")
    assert visit.names() == ["IMG_0008.JPG", "IMG_0007.JPG", "IMG_0009.JPG"]
    assert visit.page.inner_text(".label-left") == "Exposure 1"
    visit.page.click("#back")
    assert visit.page.locator(".bracket.done").count() == 4


def test_a_dropped_folder_is_put_right_by_hand(visit, shoot):
    drop(visit, shoot)
    visit.page.wait_for_selector(".bracket")
    assert counts(visit) == [3, 3, 3, 3]
    visit.page.click("[aria-label='Split Bracket 2 before IMG_0006.JPG']")
    assert counts(visit) == [3, 2, 1, 3, 3]
    visit.page.locator(".bracket").nth(2).get_by_text("Join next").click()
    assert counts(visit) == [3, 2, 4, 3]
    visit.page.locator(".bracket").nth(0).locator("input").uncheck()
    assert visit.page.inner_text("#shoot-fuse") == "Fuse 3 brackets"


def test_a_pause_is_kept_and_ended(visit, shoot):
    open_shoot(visit, shoot)
    held = []
    # The first bracket waits until a pause is asked for.
    visit.page.route(FUSION, lambda route: held.append(route))
    with visit.page.expect_request(FUSION):
        visit.page.click("#shoot-fuse")
    visit.page.click("#shoot-pause")
    held[0].continue_()
    visit.page.unroute(FUSION)
    visit.page.wait_for_selector("#shoot-fuse:not([hidden])")
    assert visit.page.locator(".bracket.done").count() == 1
    assert "Go on with 3 brackets" in visit.page.inner_text("#shoot-fuse")
    visit.page.click("#shoot-fuse")
    visit.wait_for_count(".bracket.done", 4)


def test_one_bad_bracket_does_not_end_the_others(visit, shoot):
    bad = shoot / "IMG_0005.JPG"
    bad.write_bytes(bad.read_bytes()[:-900])
    open_shoot(visit, shoot)
    visit.page.click("#shoot-fuse")
    visit.wait_for_count(".bracket.done", 3)
    failed = visit.page.locator(".bracket.failed")
    assert failed.count() == 1
    assert "IMG_0005.JPG" in failed.inner_text()
    assert "3 brackets done, 1 failed." in visit.page.inner_text("#shoot-words")
    assert visit.refused == [422]
    failed.get_by_text("Try again").click()
    visit.page.wait_for_selector("#shoot-fuse:not([hidden])")
    assert visit.refused == [422, 422]


def test_more_files_than_are_grouped_at_one_time_are_told(visit, tmp_path):
    folder = tmp_path / "card"
    folder.mkdir()
    for number in range(2001):
        (folder / f"{number}.jpg").touch()
    visit.choose(folder, by="#folder")
    assert "2001 photos; this service groups 2000" in visit.page.inner_text("#notice")
    assert visit.page.is_visible("#intake")


def test_a_file_without_company_stands_alone_with_the_reason(visit, shoot):
    (shoot / "IMG_0099.JPG").write_bytes(files.photo(0, taken="2024:05:01 18:00:00"))
    open_shoot(visit, shoot)
    alone = visit.page.locator(".bracket.alone")
    assert alone.count() == 1
    assert "IMG_0099.JPG" in alone.inner_text()
    assert "; 1 alone" in visit.page.inner_text("#shoot-note")
