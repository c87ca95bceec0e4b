"""Results come in order while later items are computed, with bounded memory."""

import itertools
import threading
import time

import pytest

from caan_hf.utils.prefetch import batched, map_ahead


def test_results_keep_the_order_of_the_items():
    def slow_for_even(number):
        time.sleep(0.002 * (number % 2 == 0))
        return number * 10

    assert list(map_ahead(slow_for_even, range(50), workers=4, ahead=8)) == [10 * number for number in range(50)]


def test_at_most_ahead_items_are_taken_before_the_first_result_is_requested():
    taken = []
    results = map_ahead(lambda number: number, (taken.append(n) or n for n in itertools.count()), workers=2, ahead=5)
    assert next(results) == 0
    time.sleep(0.05)
    assert len(taken) == 5
    assert next(results) == 1
    assert len(taken) == 6
    results.close()


def test_first_exception_is_raised_in_its_place():
    def fail_at_three(number):
        if number == 3:
            raise ValueError("three")
        return number

    results = map_ahead(fail_at_three, range(10), workers=2, ahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_stopping_early_ends_the_threads():
    results = map_ahead(lambda number: number, range(1000), workers=3, ahead=10)
    next(results)
    results.close()
    time.sleep(0.1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_no_items_give_no_results():
    assert list(map_ahead(lambda number: number, [])) == []


def test_all_batches_except_the_last_have_the_given_size():
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batched([], 3)) == []
