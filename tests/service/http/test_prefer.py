import pytest

from service.http.prefer import read_wait_s


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["wait=10"], 10),
        (["WAIT=10"], 10),
        (['wait="10"'], 10),
        (["wait = 10 ; strict"], 10),
        (['respond-async, foo="a, wait=3", wait=5'], 5),
        (["return=minimal", "wait=7"], 7),
        (["wait=0"], 0),
        (["wait=5, wait=9"], 5),
        ([], None),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=ten"], None),
        (["wait=\u0661"], None),
        (["wait=99999999999999999999"], None),
        (["waiting=3"], None),
        (['"', ",,,;;==", "wait;wait=3"], None),
    ],
)
def test_the_preference_is_read_and_what_is_malformed_is_none(values, expected):
    assert read_wait_s(values) == expected
