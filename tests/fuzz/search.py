"""Tries cases that hypothesis draws; of one that fails it makes the smallest that still does."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import hypothesis
from hypothesis import HealthCheck, Phase

from tests.fuzz.answers import Answer, AnswerError
from tests.fuzz.client import ServerUnderTest
from tests.fuzz.corpus_files import Case
from tests.fuzz.forms import FormCase, forms, write_request
from tests.fuzz.framing import Exchange, exchanges
from tests.fuzz.receiving import FormReceiver
from tests.server import RunningServer

FORMS_IN = 3
"""Every third case is a form, the others are framing."""

MOST_FAILURES = 5


@dataclass(slots=True)
class Search:
    """What came of all cases.

    Attributes:
        cases: How many were sent, those that made a failing one smaller included.
        answers: How many came with each status; 0: connections that were left without one.
        failures: The smallest case of each failure, and what was wrong.
    """

    cases: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[Case, str]] = field(default_factory=list)


class Judge:
    """Sends a case of either kind and checks it."""

    def __init__(self, server: RunningServer) -> None:
        self._under_test = ServerUnderTest(server)
        self._receiver = FormReceiver()

    def close(self) -> None:
        self._under_test.close()
        self._receiver.close()

    def check(self, case: Case) -> list[Answer]:
        """Judge one case.

        Raises:
            AnswerError: An invariant does not hold.
        """
        try:
            if isinstance(case, Exchange):
                return self._under_test.run(case)
            return self._check_form(case)
        finally:
            self._under_test.check_health()

    def _check_form(self, case: FormCase) -> list[Answer]:
        status = self._receiver.check(case)
        answers = self._under_test.run(Exchange((write_request(case),)))
        # A form that is taken may hold what is no picture; one that is not is the client's fault.
        is_refused = len(answers) == 1 and 400 <= answers[0].status < 500
        if status >= 400 and not is_refused:
            raise AnswerError(f"expected a refusal as {status}, got {answers}")
        return answers


@contextmanager
def judging(server: RunningServer) -> Iterator[Judge]:
    """A judge as long as the server runs."""
    judge = Judge(server)
    try:
        yield judge
    finally:
        judge.close()


def search(judge: Judge, *, count: int, seed: int, most_failures: int = MOST_FAILURES) -> Search:
    """Try so many cases of both kinds, the same for a seed; end after so many failures."""
    found = Search()
    form_count = count // FORMS_IN
    for strategy, share in ((forms(), form_count), (exchanges(), count - form_count)):
        begin = found.cases
        while (left := share - (found.cases - begin)) > 0 and len(found.failures) < most_failures:
            _try_cases(strategy, judge.check, found, count=left, seed=seed + len(found.failures))
    return found


def _try_cases(
    strategy: hypothesis.strategies.SearchStrategy,
    check: Callable[[Case], list[Answer]],
    found: Search,
    *,
    count: int,
    seed: int,
) -> None:
    """Draw so many cases; end at the first failure, with the smallest case that shows it."""
    smallest: list[tuple[Case, str]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @hypothesis.given(strategy)
    def try_one(case: Case) -> None:
        found.cases += 1
        try:
            answers = check(case)
        except AnswerError as error:
            smallest[:] = [(case, str(error))]
            raise
        found.answers.update([answer.status for answer in answers] or [0])

    try:
        try_one()
    except AnswerError:
        found.failures += smallest
