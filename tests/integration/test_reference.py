"""The API reference at `/docs` and `/redoc`: whole, from this service alone, in a browser too."""

import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from service.http.reference import ASSETS, FOLDER, PREFIX
from tests.integration.conftest import TIMEOUT_S, problem_of
from tests.paths import ROOT

pytestmark = pytest.mark.e2e

# npm pack swagger-ui-dist@5.35.0 redoc@2.5.4; tar --to-stdout -xzf FILE.tgz package/... | sha256sum
PUBLISHED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    "favicon-32x32.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
    "redoc.standalone.js": "dcaf76612bc4a3fbcc923a8966dee2f6146a5f32e5ce1b6f02dd60cbbf89500b",
}
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
}
PAGES = ["/docs", "/redoc"]


class Links(HTMLParser):
    """Every address that a page names, and every script and style that stands in it."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.inline, self._open = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._open = tag
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        assert "style" not in dict(attributes)
        assert not [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        if self._open in ("script", "style") and data.strip():
            self.inline.append(data)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_only_what_the_service_has(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    links = Links(response.text)
    assert links.inline == []
    assert len(links.addresses) > 4
    for address in links.addresses:
        assert re.match(r"/[a-z]", address), "another host, or no path at all"
        assert client.get(address).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_reach_nothing_else(client, path):
    policies = [client.get(path).headers["content-security-policy"] for _ in range(2)]
    rules = dict(rule.split(" ", 1) for rule in policies[0].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert not re.search(r"https?:|\*|unsafe", policies[0])
    # A nonce that is the same twice is none.
    assert (policies[0] != policies[1]) == ("nonce" in policies[0]) == (path == "/redoc")


@pytest.mark.parametrize("name", ASSETS)
def test_a_file_is_sent_as_what_it_is(client, name):
    path = PREFIX + name.rpartition("/")[2]
    response = client.get(path)
    assert (response.status_code, response.content) == (200, (FOLDER / name).read_bytes())
    assert response.headers["content-type"] == MEDIA_TYPES[path[path.rindex(".") :]]
    assert response.headers["x-content-type-options"] == "nosniff"
    again = client.get(path, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == response.headers["content-length"]


@pytest.mark.parametrize("name", ["", "pages/docs.html", "LICENSE", "../http/app.py", "%2e%2e/x"])
def test_nothing_else_of_the_folder_is_served(client, name):
    response = client.get(PREFIX + name)
    assert response.status_code == 404
    problem_of(response)


def test_files_of_others_are_as_they_were_published_and_their_licences_are_here():
    theirs = {name for name in ASSETS if not name.startswith("pages/")}
    assert {name.rpartition("/")[2] for name in theirs} == PUBLISHED.keys()
    for name in theirs:
        digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
        assert digest == PUBLISHED[name.rpartition("/")[2]]
        assert (FOLDER / name).with_name("LICENSE").is_file()
        assert f"service/reference/{name.partition('/')[0]} " in (ROOT / "NOTICE").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "blocked"), [("/docs", []), ("/redoc", ["https://cdn.redoc.ly/redoc/logo-mini.svg"])]
)
def test_a_browser_shows_the_description_and_asks_nobody_else(server, tmp_path, path, blocked):
    """The mark of ReDoc's makers is all that one of the pages would have from elsewhere."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed here")
    ended = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path}", "--dump-dom"),
            *("--virtual-time-budget=20000", server.base_url + path),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    shown = re.sub("<[^>]*>", " ", ended.stdout)
    assert "Fuse two to nine exposures of one scene" in shown
    assert "Whether requests should come here" in shown
    said = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    assert [re.search(r"'(https?://[^']+)'", line)[1] for line in said] == blocked
