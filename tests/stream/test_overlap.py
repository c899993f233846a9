"""Tasks that run in parallel return results in order."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from padmask.stream.overlap import ReadAhead, ordered_map


def test_map_keeps_order():
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * 10

    with ThreadPoolExecutor(2) as pool:
        assert list(ordered_map(pool, slow_first, range(5), ahead=3)) == [0, 10, 20, 30, 40]


def test_map_takes_few_items_ahead():
    taken = []

    def items():
        for item in range(10):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(pool, abs, items(), ahead=3)
        next(results)
        assert len(taken) == 3
        results.close()


def test_map_raises_in_order():
    def fail_at_two(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(pool, fail_at_two, range(5), ahead=4)
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            next(results)


def test_read_ahead_yields_everything():
    before = threading.active_count()
    with ReadAhead(range(100), ahead=2) as items:
        assert list(items) == list(range(100))
        assert list(items) == []
    assert threading.active_count() == before


def test_read_ahead_stops_early():
    before = threading.active_count()
    with ReadAhead(iter(int, 1), ahead=2) as items:
        assert next(items) == 0
    assert threading.active_count() == before


def test_read_ahead_raises():
    def broken():
        yield 1
        raise OSError("gone")

    with ReadAhead(broken(), ahead=2) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="gone"):
            next(items)
