"""Every metric and guard against its reference value on the golden pair, which every clone has."""

import csv

import pytest

from tests.golden.regenerate import KINDS, RELATIVE, RELATIVE_OF, VALUES, compute, read_picture
from trainer.metrics import MEASURES

with VALUES.open(newline="") as file:
    REFERENCES = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", REFERENCES)
def test_measure_agrees_with_its_reference(name: str) -> None:
    tolerance = RELATIVE_OF.get(name, RELATIVE)
    assert compute(name) == pytest.approx(REFERENCES[name], rel=tolerance)


def test_every_measure_has_a_reference() -> None:
    assert REFERENCES.keys() == MEASURES.keys() | {f"grey of {kind}" for kind in KINDS}


def test_the_golden_pair_is_large_enough_for_every_metric_and_small_in_bytes() -> None:
    assert {read_picture(kind).shape for kind in KINDS} == {(181, 201, 3)}
    assert sum((VALUES.parent / f"{kind}.png").stat().st_size for kind in KINDS) < 200_000
