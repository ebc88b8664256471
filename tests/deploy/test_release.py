"""What a release must pass: changelog, locks, licences; each can fail, and passes now."""

import itertools
import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.release import check
from deploy.release.changelog import (
    CHANGELOG,
    UNRELEASED,
    ChangelogError,
    read_changes,
    read_sections,
)
from deploy.release.licences import (
    ALLOWED,
    BUNDLED,
    EXCEPTIONS,
    PAGE,
    Package,
    find_refused,
    find_uses,
    list_pins,
    make_page,
    read_packages,
)
from deploy.release.lock import LOCKS
from deploy.release.version import ROOT, read_version

PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .*)? \\$", re.MULTILINE)
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", re.MULTILINE)


@pytest.fixture(scope="module")
def packages() -> dict[str, Package]:
    return read_packages()


def read_pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def read_lock(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / name).read_text()))


def test_the_changelog_tells_of_this_version_and_keeps_its_form() -> None:
    sections = read_sections(CHANGELOG.read_text())
    assert next(iter(sections)) == UNRELEASED
    assert read_changes(read_version()).released is not None
    numbers = [tuple(map(int, version.split("."))) for version in list(sections)[1:]]
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("## [1.0.0] - 2026-11-29\n", "first heading"),
        ("## [Unreleased]\n## [1.0.0]\n", "a day for every version"),
        ("## [Unreleased]\n## [1.0.0] - yesterday\n", "expected a day as"),
        ("## [Unreleased]\n## [1.0.0] - 2026-11-29\n## [1.0.0] - 2026-11-29\n", "once"),
        ("## [Unreleased]\n### Improved\n", "expected one of Added"),
    ],
)
def test_a_changelog_of_another_form_is_refused(text: str, said: str) -> None:
    with pytest.raises(ChangelogError, match=said):
        read_sections(text)


def test_a_version_without_a_word_is_refused() -> None:
    with pytest.raises(ChangelogError, match=r"says nothing of 99\.0\.0"):
        read_changes("99.0.0")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_every_requirement_at_its_pinned_version(name: str) -> None:
    lock, pins = read_lock(name), read_pins()
    shared = lock.keys() & pins.keys()
    assert {one: lock[one] for one in shared} == {one: pins[one] for one in shared}
    # What is not pinned in constraints.txt comes with CUDA alone.
    extra = lock.keys() - shared
    assert all(one.startswith(("nvidia-", "cuda-")) or one == "triton" for one in extra), extra
    assert bool(extra) == ("cuda" in LOCKS[name])
    assert needed_by(name) <= lock.keys()


def needed_by(name: str) -> set[str]:
    """What the extras of a lock need here, by the metadata of what is installed."""
    needed: set[str] = set()
    left = [Requirement(f"expofuse[{','.join(LOCKS[name])}]")]
    while left:
        parent = left.pop()
        for child in map(Requirement, requires(parent.name) or ()):
            extras = ("", *parent.extras)
            if child.marker and not any(child.marker.evaluate({"extra": one}) for one in extras):
                continue
            if canonicalize_name(child.name) not in needed:
                needed.add(canonicalize_name(child.name))
                # A build of torch for CPUs is installed here, which needs less.
                left.append(child)
    return needed


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_hashes_and_neither_addresses_nor_paths(name: str) -> None:
    text = (ROOT / name).read_text()
    body = [line for line in text.splitlines() if not line.startswith("#")]
    pinned = [line for line in body if PIN.match(line)]
    hashes = [line for line in body if HASH.match(line)]
    assert len(pinned) + len(hashes) == len(body)
    assert len(hashes) > len(pinned)
    for before, line in itertools.pairwise(body):
        assert not (PIN.match(before) and PIN.match(line)), before
    assert not [version for version in read_lock(name).values() if "+" in version]


def test_the_locks_are_of_what_the_image_installs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    by_locks = "requirements-$DEVICE.lock" in dockerfile
    for extra in LOCKS["requirements-cuda.lock"]:
        assert by_locks or re.search(rf"names = .*'{extra}'|\['{extra}'\] if", dockerfile)


def test_every_dependency_has_a_licence_that_is_allowed_and_listed(
    packages: dict[str, Package],
) -> None:
    assert packages.keys() == list_pins()
    assert find_refused(packages) == []
    assert PAGE.read_text() == make_page(packages), "make licences"
    # A reason that a package does not need any more would cover what comes later.
    assert {
        one.name for one in packages.values() if one.is_allowed and one.name in EXCEPTIONS
    } == set()
    assert BUNDLED.keys() <= packages.keys()


def test_every_dependency_is_listed_once() -> None:
    uses = find_uses(list_pins())
    names = [name for listed in uses.values() for name in listed]
    assert sorted(names) == sorted(list_pins())
    served, others, tools = uses.values()
    assert {"fastapi", "numpy", "rawpy"} <= set(served)
    assert {"torch", "httpx"} <= set(others)
    assert {"pytest", "sphinx"} <= set(tools)


def test_a_licence_that_asks_for_more_is_refused() -> None:
    packages = {
        name: Package(name, licence)
        for name, licence in {
            "one": "AGPL-3.0-only",
            "two": "MIT AND GPL-3.0-only",
            "three": "UNKNOWN",
            "four": "GPL-2.0-only OR MIT",
            "certifi": "MPL-2.0",
        }.items()
    }
    assert [one.name for one in find_refused(packages)] == ["one", "two", "three"]
    assert not any("GPL" in licence for licence in ALLOWED)


def test_what_is_served_is_under_no_copyleft_of_the_whole(packages: dict[str, Package]) -> None:
    served = next(iter(find_uses(packages).values()))
    strong = re.compile(r"\b(A?GPL|EUPL|SSPL)\b")
    assert [name for name in served if strong.search(packages[name].licence)] == []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the project, whose description of the API is another."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/openapi.json").write_text("{}\n")
    (tmp_path / "service").symlink_to(ROOT / "service")
    monkeypatch.setattr(check, "ROOT", tmp_path)
    return tmp_path


def test_a_description_that_is_not_of_the_code_is_found(project: Path) -> None:
    assert list(check.check_description()) == ["docs/openapi.json: make openapi"]


def test_what_is_committed_now_passes_the_checks_that_no_other_test_repeats() -> None:
    checks = (check.check_version, check.check_changelog)
    assert [finding for one in checks for finding in one()] == []
