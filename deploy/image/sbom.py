"""Writes what is in the image as CycloneDX: Python's packages, then Debian's.

    sbom.py VIRTUAL_ENVIRONMENT ROOT PYPROJECT      (needs cyclonedx-bom)

Libraries that a wheel bundles are not listed: no wheel says in a standard form what it bundles.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

SCHEMA = SchemaVersion.V1_6


def describe_python(environment: Path, pyproject: Path) -> dict[str, Any]:
    """The bill of a virtual environment, without time and random numbers."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
    command += ["--spec-version", SCHEMA.to_version(), "--pyproject", str(pyproject)]
    done = subprocess.run(
        [*command, str(environment / "bin/python")], capture_output=True, text=True, check=True
    )
    bill: dict[str, Any] = json.loads(done.stdout)
    return bill


def list_debian(root: Path) -> list[dict[str, Any]]:
    """Debian's packages in a root, as components.

    Args:
        root: has one file for each package in var/lib/dpkg/status.d.
    """
    components = []
    for path in sorted((root / "var/lib/dpkg/status.d").iterdir()):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", path.read_text(), re.MULTILINE))
        name, version = fields["Package"], fields["Version"]
        distribution = {"arch": fields["Architecture"], "distro": "debian-12"}
        purl = PackageURL("deb", "debian", name, version, distribution).to_string()
        components.append(
            {
                "bom-ref": purl,
                "type": "library",
                "name": name,
                "version": version,
                "description": fields["Description"],
                "purl": purl,
            }
        )
    return components


def main() -> None:
    """Write the bill to the standard output; one that does not fit the schema ends in an error."""
    environment, root, pyproject = map(Path, sys.argv[1:])
    bill = describe_python(environment, pyproject)
    bill["components"] += list_debian(root)
    text = json.dumps(bill, indent=1, sort_keys=True)
    if error := JsonStrictValidator(SCHEMA).validate_str(text):
        sys.exit(f"the bill does not fit CycloneDX {SCHEMA.to_version()}: {error}")
    print(text)


if __name__ == "__main__":
    main()
