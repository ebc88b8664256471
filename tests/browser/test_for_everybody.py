"""What readers of the screen and keyboards need, in light and dark; axe-core looks for faults."""

from pathlib import Path

import pytest

from tests.browser import files
from tests.browser.conftest import DESKTOP, PHONE

pytestmark = pytest.mark.e2e
AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text()
LIGHT = {"viewport": DESKTOP, "color_scheme": "light"}
DARK = {"viewport": DESKTOP, "color_scheme": "dark"}
SMALL = {"viewport": PHONE, "color_scheme": "light", "has_touch": True}
COLOURS = ("color-contrast", "link-in-text-block")
"""What differs between light and dark."""


def violations(visit, *rules):
    """What axe-core finds, by all of its rules or by those given.

    It is evaluated from outside, because the page's own policy lets no other script in.
    """
    if not visit.page.evaluate("'axe' in window"):
        visit.page.evaluate(AXE)
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = visit.page.evaluate("(options) => axe.run(options)", options)
    return [
        (one["id"], node["html"], node["failureSummary"])
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(
    ("look", "rules"),
    [(LIGHT, ()), (DARK, COLOURS), (SMALL, ("wcag2a", "wcag2aa", "wcag22aa"))],
    indirect=["look"],
    ids=["light", "dark", "phone"],
)
def test_no_view_has_a_fault(visit, tmp_path, rules):
    page = visit.page
    assert violations(visit, *rules) == []
    sound = files.photo(0)
    damaged = files.write(tmp_path, sound_jpg=sound, broken_jpg=files.photo(2)[: len(sound) // 2])
    visit.choose(*damaged)
    page.wait_for_selector(".photo")
    page.click("#options summary")
    page.click("#fuse")
    page.wait_for_selector("#failure:not([hidden])")
    assert violations(visit, *rules) == []
    visit.choose(*files.bracket(tmp_path))
    visit.wait_for_count(".photo", 3)
    visit.fuse()
    assert violations(visit, *rules) == []
    folder = tmp_path / "shoot"
    folder.mkdir()
    files.bracket(folder)
    visit.choose(folder, by="#folder")
    page.wait_for_selector(".bracket")
    page.click("#shoot-fuse")
    page.wait_for_selector(".bracket.done")
    assert violations(visit, *rules) == []


def test_the_keyboard_alone_fuses_the_sample(visit):
    page = visit.page

    def press_until(selector, limit=40):
        """Go on with Tab until something has the focus."""
        for _ in range(limit):
            page.keyboard.press("Tab")
            if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
                return
        raise AssertionError(f"Tab never came to {selector}")

    press_until("#use-sample")
    page.keyboard.press("Enter")
    page.wait_for_selector(".photo")
    press_until("#fuse")
    page.keyboard.press("Enter")
    page.wait_for_selector("#report:not([hidden])")
    press_until("img-comparison-slider")
    press_until("#download")
    press_until("a[href='docs']")


def test_what_happens_is_said(visit):
    page = visit.page
    page.evaluate(
        """() => { window.heard = []; const region = document.getElementById("live");
        new MutationObserver(() => region.textContent && window.heard.push(region.textContent))
            .observe(region, {childList: true}); }"""
    )
    page.click("#use-sample")
    visit.fuse()
    visit.wait_for_text("#live", "Done in")
    heard = page.evaluate("window.heard")
    assert "2 photos, dark to bright." in heard
    assert any(one.startswith("Sending") for one in heard)
