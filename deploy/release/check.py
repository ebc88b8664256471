"""Runs what a release must pass and tells of each: `python -m deploy.release.check`.

Tests are not among it: CI runs them, and a release is made of a commit that has passed CI.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator

from deploy.chart.__main__ import CHART, make_chart
from deploy.chart.renderings import render_all
from deploy.release.changelog import ChangelogError, read_changes
from deploy.release.licences import PAGE, find_refused, make_page, read_packages
from deploy.release.lock import LOCKS, make_lock
from deploy.release.version import ROOT, find_tags, read_version
from deploy.write_monitoring import COMPONENT, make_component

Findings = Iterator[str]


def check_version() -> Findings:
    """Every tag of an image is of the version, and no tag of git has it yet."""
    version = read_version()
    for path, found in find_tags().items():
        if found != {version}:
            yield f"{path.relative_to(ROOT)} has {', '.join(sorted(found))}, not {version}"
    tagged = _run("git", "tag", "--list", f"v{version}", "--points-at", "HEAD")
    if _run("git", "tag", "--list", f"v{version}") and not tagged:
        yield f"v{version} is a tag of another commit: make set-version TO=..."


def check_changelog() -> Findings:
    """The changelog has a section of the version, with a day."""
    try:
        read_changes(read_version())
    except ChangelogError as error:
        yield str(error)


def check_tree() -> Findings:
    """All is committed."""
    yield from _run("git", "status", "--porcelain").splitlines()


def check_manifests() -> Findings:
    """Chart and monitors are what their sources make."""
    expected = {CHART / name: text for name, text in make_chart(render_all()).items()}
    expected |= {COMPONENT / name: text for name, text in make_component().items()}
    for path, text in expected.items():
        if not path.exists() or path.read_text() != text:
            yield f"{path.relative_to(ROOT)}: make manifests"


def check_description() -> Findings:
    """The description of the API is that of the code."""
    described = _run(sys.executable, "-m", "service.http.openapi")
    if described != (ROOT / "docs/openapi.json").read_text():
        yield "docs/openapi.json: make openapi"


def check_locks() -> Findings:
    """The locks are what the pins come to."""
    for name in LOCKS:
        if make_lock(name) != (ROOT / name).read_text():
            yield f"{name}: make lock"


def check_licences() -> Findings:
    """Every licence is listed, and allowed."""
    packages = read_packages()
    if make_page(packages) != PAGE.read_text():
        yield f"{PAGE.relative_to(ROOT)}: make licences"
    for one in find_refused(packages):
        yield f"{one.name}: {one.licence} is not allowed"


def check_lint() -> Findings:
    """Format, lint, types and import contracts."""
    yield from _make("lint")


def check_documents() -> Findings:
    """The documents build, and every link in them leads somewhere."""
    yield from _make("docs")


CHECKS: tuple[Callable[[], Findings], ...] = (
    check_version,
    check_changelog,
    check_tree,
    check_manifests,
    check_description,
    check_locks,
    check_licences,
    check_lint,
    check_documents,
)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def _make(target: str) -> Findings:
    done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        yield f"make {target}:\n{done.stdout}{done.stderr}"


def main() -> None:
    """Run every check, whatever the others find; end with 1 where one finds something."""
    failed = False
    for check in CHECKS:
        said = (check.__doc__ or "").splitlines()[0]
        try:
            findings = list(check())
        except (OSError, LookupError, RuntimeError, subprocess.CalledProcessError) as error:
            findings = [str(error)]
        failed |= bool(findings)
        sys.stdout.write(f"{'failed' if findings else 'ok':8}{said}\n")
        sys.stdout.write("".join(f"        {one}\n" for one in findings))
        sys.stdout.flush()
    sys.exit(failed)


if __name__ == "__main__":
    main()
