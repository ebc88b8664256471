"""How photos come in: dropped as a person drops them, and what is refused before it is sent."""

import numpy as np
import pytest

from tests import images
from tests.browser import files
from tests.browser.conftest import MAX_BODY_BYTES

pytestmark = pytest.mark.e2e


def drop(visit, *paths, on="main"):
    """Drop files or folders as the window system does."""
    box = visit.page.locator(on).bounding_box()
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + min(box["height"] / 2, 300)}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = visit.page.context.new_cdp_session(visit.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})


def posts(visit):
    return [one for one in visit.requests if "/fuse" in one]


def test_photos_are_dropped(visit, tmp_path):
    drop(visit, *files.bracket(tmp_path))
    visit.page.wait_for_selector(".photo")
    assert visit.names() == ["c.jpg", "a.jpg", "b.jpg"]
    visit.fuse()


def test_what_is_no_photo_is_left_out_and_said(visit, tmp_path):
    paths = files.write(tmp_path, notes_txt=b"no photo", a_jpg=files.photo(0), b_jpg=files.photo(2))
    drop(visit, *paths)
    visit.page.wait_for_selector(".photo")
    assert "notes.txt" in visit.page.inner_text("#notice")
    assert visit.names() == ["a.jpg", "b.jpg"]


def test_a_damaged_file_is_named_with_what_to_do(visit, tmp_path):
    sound = files.photo(0)
    paths = files.write(tmp_path, sound_jpg=sound, broken_jpg=files.photo(2)[: len(sound) // 2])
    visit.choose(*paths)
    visit.page.wait_for_selector(".photo")
    visit.page.click("#fuse")
    visit.page.wait_for_selector("#failure:not([hidden])")
    words = visit.page.inner_text("#failure")
    assert "The image is damaged" in words
    assert "broken.jpg" in words
    assert "Copy this file from the card again" in words
    assert visit.refused == [422]
    visit.page.click("[aria-label='Remove broken.jpg']")
    assert not visit.page.is_visible("#failure")


def test_other_scenes_are_refused_in_words(visit, tmp_path):
    rng = np.random.default_rng(3)
    noise = [
        images.encoded("png", pixels=(rng.integers(0, 256, (96, 96, 3)) // share).astype(np.uint8))
        for share in (3, 1)
    ]
    visit.choose(*files.write(tmp_path, one_png=noise[0], two_png=noise[1]))
    visit.page.wait_for_selector(".photo")
    visit.page.click("#fuse")
    visit.page.wait_for_selector("#failure:not([hidden])")
    words = visit.page.inner_text("#failure")
    assert "do not form one set of exposures" in words
    assert "Check that all photos show one scene" in words
    assert visit.refused == [422]


def test_too_many_bytes_are_told_before_anything_is_sent(visit, tmp_path):
    padding = b"\0" * (MAX_BODY_BYTES // 2)
    paths = files.write(tmp_path, a_jpg=files.photo(0) + padding, b_jpg=files.photo(2) + padding)
    visit.choose(*paths)
    visit.page.wait_for_selector(".photo")
    assert "this service takes 3.1 MB" in visit.page.inner_text("#checks")
    assert visit.page.is_disabled("#fuse")
    assert posts(visit) == []


def test_too_many_pixels_are_told_of_their_photo_before_anything_is_sent(visit, tmp_path):
    large = images.encoded("png", pixels=np.zeros((2000, 2400, 3), np.uint8))
    visit.choose(*files.write(tmp_path, large_png=large, small_jpg=files.photo(0)))
    visit.page.wait_for_selector(".photo")
    assert "large.png has 4.8 megapixels" in visit.page.inner_text("#checks")
    assert visit.page.locator(".mark.bad").count() == 1
    assert posts(visit) == []


def test_more_than_nine_exposures_are_not_one_scene(visit, tmp_path):
    paths = [
        path
        for number in range(3)
        for path in files.write(
            tmp_path, **{f"p{number}{ev}_jpg": files.photo(ev) for ev in (-2, 0, 2)}
        )
    ]
    visit.choose(*paths)
    visit.page.wait_for_selector(".photo")
    assert visit.page.is_enabled("#fuse")
    extra = files.write(tmp_path, last_jpg=files.photo(0))
    with visit.page.expect_file_chooser() as chooser:
        visit.page.click("#add")
    chooser.value.set_files([str(path) for path in extra])
    visit.wait_for_count(".photo", 10)
    assert "Leave out 1 photo" in visit.page.inner_text("#checks")
    assert visit.page.is_disabled("#fuse")
