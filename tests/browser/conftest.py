"""One real server and one real browser for all tests of the page; a fresh profile for each test."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from examples.chromium import find_chromium, open_browser
from tests.server import RunningServer, running_server

pytestmark = pytest.mark.e2e
TIMEOUT_MS = 300_000
MAX_BODY_BYTES = 3 * 2**20
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[RunningServer]:
    environment = {
        "EXPOFUSE_DRAIN_PAUSE_S": "0",
        "EXPOFUSE_CODEC__PROCESSES": "2",
        "EXPOFUSE_WORKER__THREADS": "1",
        "EXPOFUSE_LIMITS__MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "EXPOFUSE_LIMITS__MAX_MEGAPIXELS": "4",
        "EXPOFUSE_LIMITS__MAX_RESPONSE_BYTES": str(2**20),
        "EXPOFUSE_LIMITS__RETRY_AFTER_S": "1",
        # However long the page takes, who does not read keeps the service full.
        "EXPOFUSE_LIMITS__SEND_STALL_TIMEOUT_S": "3600",
    }
    log_path = tmp_path_factory.mktemp("browser-server") / "server.log"
    with running_server(environment, log_path=log_path) as running:
        yield running


@pytest.fixture(scope="package")
def browser():
    """Ends with the package: while Playwright runs, no test of asyncio can, in the same process."""
    if find_chromium() is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium)")
    with open_browser() as running:
        yield running


@dataclass
class Visit:
    """One person's page, and everything that went wrong on it."""

    page: object
    base_url: str
    console: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[int]:
        """Statuses of the requests that the service refused, as the console tells them."""
        return [int(found[1]) for line in self.console if (found := REFUSED.match(line))]

    @property
    def faults(self) -> list[str]:
        """What a console or a network log should not hold, but for refusals."""
        own = urlsplit(self.base_url).netloc
        addresses = [urlsplit(one) for one in self.requests]
        strange = [one.geturl() for one in addresses if one.scheme != "blob" and one.netloc != own]
        said = [line for line in self.console if not REFUSED.match(line)]
        return self.failures + said + strange

    def choose(self, *paths: Path, by: str = "#files"):
        """Choose files as a person does in the dialogue."""
        self.page.set_input_files(by, [str(path) for path in paths])

    def fuse(self):
        """Press the button, and wait for the picture."""
        self.page.click("#fuse")
        self.page.wait_for_selector("#report:not([hidden])")

    def wait_for_text(self, selector: str, text: str):
        """Wait until an element holds a text; the page's policy allows no polling by script."""
        expect(self.page.locator(selector)).to_contain_text(text, timeout=TIMEOUT_MS)

    def wait_for_count(self, selector: str, count: int):
        """Wait until there are so many elements."""
        expect(self.page.locator(selector)).to_have_count(count, timeout=TIMEOUT_MS)

    def wait_for_drawing(self):
        """Wait until what was done is drawn: what moves does so with the next frame."""
        self.page.evaluate(
            "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
        )

    def names(self) -> list[str]:
        """The exposures in the order in which they are shown."""
        return self.page.locator("#tray .photo-name").all_text_contents()


@pytest.fixture
def look(request) -> dict[str, object]:
    """How the page is looked at; tests give another one as a parameter."""
    return getattr(request, "param", {"viewport": DESKTOP})


@contextmanager
def visiting(browser, base_url: str, **look: object) -> Iterator[Visit]:
    """The page, open and connected; whatever goes wrong on it fails the test."""
    context = browser.new_context(**look)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    one = Visit(page, base_url)
    page.on("console", lambda message: message.type == "error" and one.console.append(message.text))
    page.on("pageerror", lambda error: one.failures.append(str(error)))
    page.on("request", lambda asked: one.requests.append(asked.url))
    page.goto(f"{base_url}/")
    page.wait_for_selector("#service[data-state=ready]")
    yield one
    context.close()
    assert one.faults == []


@pytest.fixture
def visit(browser, server, look) -> Iterator[Visit]:
    """A page of one's own."""
    with visiting(browser, server.base_url, **look) as one:
        yield one
