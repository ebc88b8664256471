"""One scene on the page: from photos to the picture, its words and its download."""

import io

import pytest
from PIL import Image

from service.fusing.options import FORMAT_ALIASES
from tests import images
from tests.browser import files

pytestmark = pytest.mark.e2e
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def downloaded(visit, link="#download"):
    """The file that a link saves: its name, and its content."""
    with visit.page.expect_download() as waiting:
        visit.page.click(link)
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def test_the_sample_is_fused_and_saved(visit):
    visit.page.click("#use-sample")
    visit.page.wait_for_selector(".photo")
    assert visit.names() == ["sample-1.jpg", "sample-2.jpg"]
    visit.fuse()
    name, content = downloaded(visit)
    assert name == "sample-1_fused.jpg"
    picture = Image.open(io.BytesIO(content))
    picture.load()
    assert (picture.format, picture.size) == ("JPEG", (960, 640))
    words = visit.page.inner_text("#report")
    for said in (
        "Held still",
        "Nothing moved",
        "2 exposures used",
        "pyramid-blend",
        "in the service",
    ):
        assert said in words
    assert visit.page.locator(".tray-item .mark").all_inner_texts() == ["Reference"]
    assert visit.refused == []


def test_own_files_are_shown_in_order_of_exposure_with_what_exif_says(visit, tmp_path):
    visit.choose(*files.bracket(tmp_path))
    visit.page.wait_for_selector(".photo")
    assert visit.names() == ["c.jpg", "a.jpg", "b.jpg"]
    facts = visit.page.locator(".photo-facts").all_text_contents()
    assert facts[0] == "1/240 s · f/8 · ISO 100"
    assert facts[1].startswith(f"{MINUS}2 EV · 144 {TIMES} 96 · ")
    assert facts[2].startswith("1/60 s")
    assert facts[3].startswith("0 EV")
    visit.fuse()
    name, content = downloaded(visit)
    assert name == "a_fused.jpg"
    assert Image.open(io.BytesIO(content)).size == (144, 96)


def test_photos_without_exif_are_ordered_by_their_brightness(visit, tmp_path):
    visit.choose(*files.plain(tmp_path))
    visit.page.wait_for_selector(".photo")
    assert visit.names() == ["two.jpg", "one.jpg"]


def test_options_reach_the_service(visit, tmp_path):
    visit.choose(*files.bracket(tmp_path))
    visit.page.click("#options summary")
    visit.page.select_option("[name=format]", "png")
    visit.page.select_option("[name=bit_depth]", "16")
    visit.page.select_option("[name=align]", "off")
    visit.page.select_option("[name=reference]", "3")
    assert visit.page.inner_text("#options-note") == "4 changed"
    assert visit.page.locator(".tray-item").nth(2).locator(".mark").inner_text() == "Reference"
    visit.fuse()
    name, content = downloaded(visit)
    assert name == "a_fused.png"
    assert content[24] == 16  # the depth in a PNG's header
    assert "Not aligned" in visit.page.inner_text("#report")
    assert "Exposure 3 is the reference" in visit.page.inner_text("#report")


def test_every_option_of_the_service_is_there_with_its_values_and_its_default(visit):
    description = visit.page.request.get(f"{visit.base_url}/openapi.json").json()
    asked = description["paths"]["/fuse"]["post"]["parameters"]
    schemas = {one["name"]: one["schema"] for one in asked if one["in"] == "query"}
    controls = visit.page.evaluate(
        """() => Object.fromEntries(
            [...document.querySelectorAll("#options-form [name]")].map(
                ({name, dataset, options}) => [
                    name,
                    {default: dataset.default, values: [...(options ?? [])].map((o) => o.value)},
                ]
            )
        )"""
    )
    assert controls.keys() == schemas.keys()
    for name, schema in schemas.items():
        offered = controls[name]
        default = str(schema.get("default", "")).lower()
        assert offered["default"] == default, name
        if "enum" in schema:
            assert {*offered["values"], ""} == {*schema["enum"], ""} - {*FORMAT_ALIASES}, name


def test_a_format_that_the_browser_cannot_show_has_a_placeholder_and_is_fused(visit, tmp_path):
    pair = files.write(
        tmp_path,
        dark_tif=images.encoded("tiff", pixels=images.scene(gain=0.3)),
        bright_png=images.encoded("png"),
    )
    visit.choose(*pair)
    visit.page.wait_for_selector(".photo")
    assert visit.page.locator(".thumb.none").all_inner_texts() == ["TIFF"]
    visit.page.locator(".photo").filter(has_text="dark.tif").click()
    assert "cannot show TIFF" in visit.page.inner_text("#still")
    visit.fuse()
    assert downloaded(visit)[0] == "bright_fused.jpg"


def test_photos_are_added_and_removed(visit, tmp_path):
    paths = files.bracket(tmp_path)
    visit.choose(paths[0])
    visit.page.wait_for_selector(".photo")
    assert visit.page.is_disabled("#fuse")
    assert "Add 1 more photo" in visit.page.inner_text("#checks")
    with visit.page.expect_file_chooser() as chooser:
        visit.page.click("#add")
    chooser.value.set_files([str(path) for path in paths[1:]])
    visit.wait_for_count(".photo", 3)
    visit.page.click("[aria-label='Remove b.jpg']")
    assert visit.names() == ["c.jpg", "a.jpg"]
    assert visit.page.is_enabled("#fuse")


def test_the_history_of_the_visit_opens_what_was_fused_before(visit, tmp_path):
    visit.choose(*files.bracket(tmp_path))
    visit.fuse()
    visit.page.click("#anew")
    visit.page.click("#use-sample")
    visit.fuse()
    assert visit.page.locator(".history-name").all_inner_texts() == [
        "sample-1_fused.jpg",
        "a_fused.jpg",
    ]
    visit.page.locator(".history-item").nth(1).click()
    visit.wait_for_count(".photo", 3)
    assert "a_fused.jpg" in visit.page.inner_text("#report")


def test_the_stages_of_a_request_are_told_while_it_runs(visit):
    visit.page.evaluate(
        """() => { window.said = []; new MutationObserver(() => window.said.push(
            document.querySelector("#steps .now")?.dataset.stage)).observe(
            document.getElementById("steps"), {subtree: true, attributes: true}); }"""
    )
    visit.page.click("#use-sample")
    visit.fuse()
    said = visit.page.evaluate("[...new Set(window.said)]")
    assert said[0] == "receive"
    assert set(said) & {"decode", "align", "fuse"}
    assert any("/requests/" in one for one in visit.requests)
