import os
import subprocess
import sys

import psutil
import pytest

from trainer.pool import count_cores, run_jobs


@pytest.mark.parametrize("workers", [0, 2])
def test_every_job_has_its_result(workers):
    jobs = [f"{number} ** 2" for number in range(6)]
    results = dict(run_jobs(eval, jobs, workers))
    assert results == {job: number**2 for number, job in enumerate(jobs)}


def test_a_job_that_kills_its_process_is_found_and_the_others_have_their_results():
    killer = "__import__('os')._exit(1)"
    jobs = ["1 + 1", killer, "2 + 2", "3 + 3", "4 + 4", "5 + 5"]
    results = dict(run_jobs(eval, jobs, workers=1))
    assert results == {job: None if job == killer else eval(job) for job in jobs}


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_process_has_as_many_threads_as_it_is_told(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    jobs = [
        "__import__('torch').get_num_threads()",
        "__import__('cv2').getNumThreads()",
        "int(__import__('os').environ['OMP_NUM_THREADS'])",
    ]
    assert dict(run_jobs(eval, jobs, 1, threads=threads)) == dict.fromkeys(jobs, threads)
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_process_ends_when_the_one_that_started_it_is_killed():
    job = "print(__import__('os').getpid(), flush=True) or __import__('time').sleep(60)"
    code = f"from trainer.pool import run_jobs\nlist(run_jobs(eval, [{job!r}], 1))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as main:
        worker = psutil.Process(int(main.stdout.readline()))
        main.kill()
    worker.wait(timeout=300)
    assert not worker.is_running()


def test_no_jobs_start_no_process():
    assert list(run_jobs(eval, [], workers=4)) == []


def test_there_is_a_core_to_work_on():
    assert count_cores() >= 1
