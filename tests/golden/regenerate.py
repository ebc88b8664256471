"""Write the golden pair's pictures and the values that every metric has on them.

    python -m tests.golden.regenerate FOLDER    # of the published programmes, see programmes.m

The pictures are a reduced part of `examples/under.jpg` and `examples/over.jpg`, fused by OpenCV's
MergeMertens. The values of eight metrics come from their published programmes, run in Octave; those
of FMI, LPC-SI, S3 and PIQE, whose programmes take an hour or are absent, from the slow
transcriptions of their definitions. The values of the guards, which are ours, come from our code.
Nothing is written before our code agrees with `../shared/data/metrics/reference.csv` on the four
photographs there, and with every value here.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tests.paths import ROOT
from tests.trainer.metrics import test_reference as published
from tests.trainer.metrics import test_transcriptions as slow
from trainer.metrics import GUARDS, METRICS, rgb_to_grey

GOLDEN = Path(__file__).resolve().parent
VALUES = GOLDEN / "metrics.csv"
KINDS = ("under", "over", "fused")
PART = np.s_[60:600, 192:792]
"""Stretching its levels to 0..255, as Qcb does, puts none on a half that rounding decides.

Elsewhere it does: of MEFB's metricsQcb.m, which divides by 255 first, 127.49999999999999 is left of
a half, and the value moves by 1e-5.
"""

SIZE = (201, 181)
"""Width and height, both odd: the halving of odd sides is where implementations differ."""

# As many digits as the programmes print.
RELATIVE = 1e-10
# Rounding decides what nearly empty wavelet bands hold.
RELATIVE_OF = {"FMI-wavelet": 1e-7}

Picture = np.ndarray
Row = tuple[str, float, str]


def write_pictures() -> None:
    """Cut and reduce the sample pair, fuse it, and write all three."""
    pair = [cv2.imread(str(ROOT / "examples" / f"{kind}.jpg")) for kind in KINDS[:2]]
    small = [cv2.resize(p[PART], SIZE, interpolation=cv2.INTER_AREA) for p in pair]
    fused = np.rint(255 * cv2.createMergeMertens().process(small).clip(0, 1)).astype(np.uint8)
    for kind, picture in zip(KINDS, (*small, fused), strict=True):
        options = [cv2.IMWRITE_PNG_COMPRESSION, 9]
        cv2.imwrite(str(GOLDEN / f"{kind}.png"), picture, options)


def read_picture(kind: str) -> Picture:
    """One of the three pictures, RGB of 8 bits."""
    return cv2.imread(str(GOLDEN / f"{kind}.png"), cv2.IMREAD_COLOR_RGB)


def compute(name: str) -> float:
    """What our code gives: a metric, a guard, or the mean of a grey picture."""
    if name.startswith("grey of "):
        return float(rgb_to_grey(read_picture(name.removeprefix("grey of "))).mean())
    measure = METRICS[name] if name in METRICS else GUARDS[name]
    pictures = [read_picture(kind) for kind in KINDS]
    if measure.reads == "grey":
        pictures = [rgb_to_grey(picture) for picture in pictures]
    value = measure.compute(pictures[:2], pictures[2])
    if value is None:
        raise ValueError(f"expected pictures that {name} applies to")
    return value


def check_photographs() -> None:
    """Compare our code with the published values on the photographs kept outside."""
    references = published.read_references()
    for image in published.IMAGES:
        pictures = [published.read_grey(image, kind) for kind in KINDS]
        for name, metric in METRICS.items():
            key = published.VARIANTS.get(name, (name, "gray"))
            error = abs(metric.compute(pictures[:2], pictures[2]) - references[image, *key])
            allowed = published.RELATIVE * abs(references[image, *key]) + published.ROUNDING
            if error > allowed:
                raise SystemExit(f"{name} of {image} misses its published value by {error}")


def run_programmes(folder: Path) -> Iterator[Row]:
    """Values of the published programmes."""
    command = ["octave", "--no-gui", "--quiet", str(GOLDEN / "programmes.m"), str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for name, value, source in csv.reader(done.stdout.splitlines()):
        yield name, float(value), source


def run_transcriptions() -> Iterator[Row]:
    """Values of the slow transcriptions."""
    planes = [rgb_to_grey(read_picture(kind)).astype(np.float64) for kind in KINDS]
    source = "tests/trainer/metrics/test_transcriptions.py"
    for name, feature in (("FMI", "dct"), ("FMI-gradient", "gradient"), ("FMI-wavelet", "wavelet")):
        yield name, slow.fmi_by_windows(planes[:2], planes[2], feature=feature), source
    yield "LPC-SI", slow.lpc_si_centred(planes[2]), source
    yield "S3", float(slow.s3_map_by_blocks(planes[2]).mean()), source
    yield "PIQE", slow.piqe_by_blocks(planes[2]), source


def main() -> None:
    """Write the pictures, check our code on both sets of pictures, and write the values."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the published programmes")
    folder = parser.parse_args().folder
    write_pictures()
    check_photographs()
    rows = [*run_programmes(folder), *run_transcriptions()]
    missing = METRICS.keys() - {name for name, _, _ in rows}
    if missing:
        raise SystemExit(f"no reference value for {sorted(missing)}")
    for name, value, source in rows:
        error = abs(compute(name) / value - 1)
        if error > RELATIVE_OF.get(name, RELATIVE):
            raise SystemExit(f"{name} misses {value} of {source} by {error:.1e} of it")
    rows += [(name, compute(name), "trainer.metrics, whose definition it is") for name in GUARDS]
    with VALUES.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "value", "source"])
        writer.writerows((name, f"{value:.12g}", source) for name, value, source in rows)


if __name__ == "__main__":
    main()
