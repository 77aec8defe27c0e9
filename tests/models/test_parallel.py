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
