"""A service that asks for a key: the page asks for it, keeps it for the visit, and sends it."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import TIMEOUT_MS, Visit
from tests.server import running_server
from tests.service.keys.conftest import KeyFile

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def key(keys):
    return keys.add()


@pytest.fixture(scope="module")
def closed(keys, key, tmp_path_factory):
    environment = {
        "EXPOFUSE_KEYS__FILE": str(keys.path),
        "EXPOFUSE_DRAIN_PAUSE_S": "0",
        "EXPOFUSE_CODEC__PROCESSES": "2",
        "EXPOFUSE_WORKER__THREADS": "1",
    }
    log_path = tmp_path_factory.mktemp("closed") / "server.log"
    with running_server(environment, log_path=log_path) as running:
        yield running


@pytest.fixture
def visit(browser, closed):
    """The page of somebody who has not given a key yet."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    one = Visit(page, closed.base_url)
    page.on("console", lambda message: message.type == "error" and one.console.append(message.text))
    page.on("pageerror", lambda error: one.failures.append(str(error)))
    page.goto(f"{closed.base_url}/")
    yield one
    context.close()
    assert one.faults == []


def give(visit, text):
    visit.page.fill("#key-field", text)
    visit.page.click("#key-form button")


def test_the_page_asks_for_a_key_keeps_it_and_fuses_with_it(visit, key):
    page = visit.page
    page.wait_for_selector("#key-form:not([hidden])")
    give(visit, key.text[:-1])
    visit.wait_for_text("#key-words", "does not take this key")
    assert page.input_value("#key-field") == ""
    give(visit, key.text)
    page.wait_for_selector("#service[data-state=ready]")
    expect(page.locator("#key-form")).to_be_hidden()
    page.click("#use-sample")
    visit.fuse()
    page.reload()
    page.wait_for_selector("#service[data-state=ready]")
    expect(page.locator("#key-form")).to_be_hidden()
    assert set(visit.refused) == {401}
    assert key.text not in page.content()
