import platform
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from models.parallel import one_thread, side_by_side


def test_results_in_order_and_told_in_the_calling_thread():
    told = []

    def work(item, tell):
        tell(float(item))
        return item * item, threading.current_thread()

    def tell(value):
        told.append((value, threading.current_thread()))

    found = side_by_side(work, range(7), tell)
    assert [value for value, _ in found] == [i * i for i in range(7)]
    assert sorted(value for value, _ in told) == list(range(7))
    assert {thread for _, thread in told} == {threading.current_thread()}
    assert threading.current_thread() not in {thread for _, thread in found}


def test_arithmetic_does_not_depend_on_the_number_of_threads():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=200_000)).float()
    torch.set_num_threads(3)
    found = side_by_side(lambda item, tell: (float(x.sum()), torch.get_num_threads()), range(2))
    assert torch.get_num_threads() == 3
    with one_thread():
        assert found == [(float(x.sum()), 1)] * 2


def test_an_exception_arrives():
    def fail(item, tell):
        raise ValueError("member 1 failed")

    with pytest.raises(ValueError, match="member 1 failed"):
        side_by_side(fail, range(2))


FAULTS = """
import resource, sys, threading, torch
from models.parallel import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
def layers():
    global before
    for step in range(60):
        if step == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        parts = [torch.ones(500_000) for _ in range(8)]
layers = threading.Thread(target=layers)
layers.start()
layers.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_layers_free_and_ask_for_again_is_kept():
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True).stdout)
        for how in ("given back", "kept")
    )
    assert kept < given_back / 10
