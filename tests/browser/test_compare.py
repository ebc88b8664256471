"""The comparison: divider, zoom and pan, by keys, mouse and touch."""

import pytest

from tests.browser import files
from tests.browser.conftest import DESKTOP, PHONE, visiting

pytestmark = pytest.mark.e2e
SLIDER = "img-comparison-slider"


WIDTH, HEIGHT = 1500, 1000


def compare(visit, folder):
    """Fuse a pair that is larger than the view."""
    visit.choose(*files.plain(folder, width=WIDTH, height=HEIGHT))
    visit.page.wait_for_selector(".photo")
    visit.fuse()
    visit.page.wait_for_selector(f"{SLIDER}.rendered")
    return visit


@pytest.fixture(scope="module")
def on_desktop(browser, server, tmp_path_factory):
    with visiting(browser, server.base_url, viewport=DESKTOP) as visit:
        yield compare(visit, tmp_path_factory.mktemp("pair"))


@pytest.fixture
def compared(on_desktop):
    """The comparison as it is when it appears."""
    yield on_desktop
    on_desktop.page.click("#zoom-fit")
    on_desktop.page.evaluate(f"document.querySelector('{SLIDER}').value = 50")
    on_desktop.page.evaluate(f"document.querySelector('{SLIDER}').slide(0)")


@pytest.fixture
def on_phone(visit, tmp_path):
    return compare(visit, tmp_path)


def value(visit):
    return float(visit.page.get_attribute(SLIDER, "aria-valuenow"))


def scale(visit):
    """At which scale the fused picture is drawn, and where it was moved."""
    return visit.page.eval_on_selector(
        "[slot=second] .pane",
        """(pane) => {
            const matrix = new DOMMatrix(getComputedStyle(pane).transform);
            return [matrix.a, matrix.e, matrix.f];
        }""",
    )


def test_the_divider_is_moved_by_keys(compared):
    page = compared.page
    page.focus(SLIDER)
    assert value(compared) == 50
    for key, expected in [
        ("ArrowRight", 52),
        ("ArrowLeft", 50),
        ("PageUp", 60),
        ("PageDown", 50),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("End", 100),
    ]:
        page.keyboard.press(key)
        assert value(compared) == expected, key
    assert page.get_attribute(SLIDER, "aria-valuetext") == "100 per cent exposure 1"
    drawn = page.evaluate(
        f"document.querySelector('{SLIDER}').shadowRoot.getElementById('first').style.getPropertyValue('--exposure')"
    )
    assert drawn == "0%"


def test_the_divider_is_dragged(compared):
    box = compared.page.locator(SLIDER).bounding_box()
    middle = box["y"] + box["height"] / 2
    compared.page.mouse.move(box["x"] + box["width"] / 2, middle)
    compared.page.mouse.down()
    compared.page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
    compared.page.mouse.up()
    assert value(compared) == pytest.approx(25, abs=1)


def test_full_size_is_a_pixel_for_a_pixel_and_the_picture_is_panned(compared):
    page = compared.page
    width = page.locator("#viewport").bounding_box()["width"]
    page.click("#zoom-full")
    compared.wait_for_text("#zoom-level", "100 %")
    zoomed, x, y = scale(compared)
    assert zoomed == pytest.approx(WIDTH / width, rel=0.01)
    box = page.locator("#viewport").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 70, steps=4)
    page.mouse.up()
    compared.wait_for_drawing()
    _, moved_x, moved_y = scale(compared)
    assert (moved_x - x, moved_y - y) == (pytest.approx(50, abs=2), pytest.approx(30, abs=2))
    assert value(compared) == 50, "a drag beside the grip moved the divider"
    both = page.eval_on_selector_all(
        ".pane", "(panes) => panes.map((pane) => pane.style.transform)"
    )
    assert both[0] == both[1]
    page.click("#zoom-fit")
    page.wait_for_selector("#zoom-fit[aria-pressed=true]")
    assert scale(compared) == pytest.approx([1, 0, 0], abs=0.01)


def test_zoom_and_pan_by_keys(compared):
    page = compared.page
    page.focus(SLIDER)
    page.keyboard.press("1")
    compared.wait_for_text("#zoom-level", "100 %")
    _, x, _ = scale(compared)
    page.keyboard.press("Shift+ArrowRight")
    compared.wait_for_drawing()
    assert scale(compared)[1] < x
    assert value(compared) == 50
    page.keyboard.press("0")
    compared.wait_for_drawing()
    assert scale(compared)[0] == pytest.approx(1, abs=0.001)


def test_any_exposure_stands_beside_the_picture(compared):
    page = compared.page
    page.locator("#against label").nth(1).click()
    assert page.inner_text(".label-left") == "Exposure 2"
    assert "exposure 2" in page.get_attribute(SLIDER, "aria-label")
    assert page.locator(".photo").nth(1).get_attribute("aria-pressed") == "true"
    page.locator(".photo").nth(0).click()
    assert page.inner_text(".label-left") == "Exposure 1"


@pytest.mark.parametrize("look", [{"viewport": PHONE, "has_touch": True}], indirect=True)
def test_the_divider_and_the_zoom_follow_fingers(on_phone):
    page = on_phone.page
    page.locator("#viewport").scroll_into_view_if_needed()
    box = page.locator(SLIDER).bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        sent = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": sent})

    middle_x, middle_y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch("touchStart", (middle_x, middle_y))
    for step in range(1, 6):
        touch("touchMove", (middle_x + step * box["width"] / 20, middle_y))
    touch("touchEnd")
    assert value(on_phone) == pytest.approx(75, abs=2)
    touch("touchStart", (middle_x - 20, middle_y), (middle_x + 20, middle_y))
    before = value(on_phone)
    for step in range(1, 9):
        touch(
            "touchMove",
            (middle_x - 20 - 10 * step, middle_y),
            (middle_x + 20 + 10 * step, middle_y),
        )
    touch("touchEnd")
    on_phone.wait_for_drawing()
    assert scale(on_phone)[0] > 1.2
    assert value(on_phone) == before, "two fingers moved the divider"


@pytest.mark.parametrize("look", [{"viewport": PHONE, "has_touch": True}], indirect=True)
def test_nothing_is_wider_than_a_phone(on_phone):
    on_phone.page.click("#options summary")
    widths = on_phone.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] == widths[1]
