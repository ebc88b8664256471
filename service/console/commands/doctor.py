"""`expofuse doctor`: says what is wrong with an installation, and how to mend it."""

import os
import sys

import click

from service.console.exits import EXIT_FAILED
from service.console.output import json_option, write_json

SIGNS = {"well": "ok   ", "note": "note ", "wrong": "WRONG"}


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Say what is wrong with this installation, and how to mend it.

    Looks at Python, the compiled kernels, the libraries, the device and its driver, settings,
    weights, shared memory, open files, memory and the port. It changes nothing.

    \b
    Examples:
      expofuse doctor
      expofuse doctor --json | jq '.[] | select(.state == "wrong")'
      docker run --rm expofuse:1.0.0-cpu expofuse doctor

    Exit codes: 0 nothing is wrong, notes apart, 1 something is.
    """
    from service.console.doctor.computing import examine_computing, examine_device
    from service.console.doctor.serving import examine_serving

    findings = []
    for finding in (
        *examine_computing(),
        examine_device(os.environ.get("EXPOFUSE_DEVICE") or "auto"),
        *examine_serving(),
    ):
        findings.append(finding)
        if not as_json:
            sys.stdout.write(f"{SIGNS[finding.state]} {finding.name}: {finding.found}\n")
            if finding.advice and finding.state != "well":
                sys.stdout.write(f"      -> {finding.advice}\n")
    if as_json:
        write_json([one.describe() for one in findings])
    return EXIT_FAILED if any(one.state == "wrong" for one in findings) else 0
