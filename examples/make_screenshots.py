"""Make the pictures of the page for the README and the documents, from the sample pair.

python -m examples.make_screenshots                              # starts the service itself
python -m examples.make_screenshots --url http://127.0.0.1:8000  # uses one that runs
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from bench.running_service import running_service
from examples.chromium import open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
DESKTOP = (1440, 1152)
PHONE = (390, 844)
PHONE_SCALE = 2
"""Pixels of the screen to one of the page; on a desktop one is enough to read."""

JPEG_QUALITY = 85


def draw_desktop(browser: Browser, url: str, target: Path) -> None:
    """The fused sample, as a window of a desktop shows it."""
    page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.goto(url)
    page.click("#use-sample")
    page.click("#fuse")
    page.wait_for_selector("#report:not([hidden])")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=target, type="jpeg", quality=JPEG_QUALITY)
    page.close()


def draw_phone(browser: Browser, url: str, target: Path) -> None:
    """The same on a phone, where the picture is scrolled to."""
    page = browser.new_page(
        viewport={"width": PHONE[0], "height": PHONE[1]},
        device_scale_factor=PHONE_SCALE,
        has_touch=True,
        is_mobile=True,
    )
    page.goto(url)
    page.click("#use-sample")
    page.click("#fuse")
    page.wait_for_selector("#report:not([hidden])")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.getElementById('viewer').scrollIntoView()")
    page.screenshot(path=target, type="jpeg", quality=JPEG_QUALITY)
    page.close()


def main(argv: list[str] | None = None) -> None:
    """Drive the page in Chromium and write what it looks like."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="base URL of a running service; default: start one")
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="folder of the pictures")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    service = nullcontext(arguments.url) if arguments.url else running_service()
    with service as url, open_browser() as browser:
        draw_desktop(browser, f"{url}/", arguments.out / "page.jpg")
        draw_phone(browser, f"{url}/", arguments.out / "page-phone.jpg")


if __name__ == "__main__":
    main()
