"""Counts of scores that are not greater: by rows and all at once, against the definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from caan_hf.evaluation import counting

rows = st.integers(1, 12).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from([0.0, -0.0, 0.5, -3.0, 7.0, float("inf")]), min_size=size, max_size=size),
        min_size=1,
        max_size=4,
    )
)


@pytest.mark.parametrize("way", ["rows", "at once"])
@settings(max_examples=80, deadline=None)
@given(rows, st.data())
def test_counts_by_definition(way, rows, data):
    positions = data.draw(st.lists(st.integers(0, len(rows[0]) - 1), unique=True))
    scores, places = torch.tensor(rows), torch.tensor(positions, dtype=torch.long)
    # The second way is that of a GPU, which has to agree where there is none.
    count = counting.count_at_most if way == "rows" else counting._at_once
    values, at_most, is_tied = count(scores, places)
    for row, *found in zip(rows, values.tolist(), at_most.tolist(), is_tied.tolist(), strict=True):
        expected = sorted(row[position] for position in positions)
        assert found[0] == expected
        assert found[1] == [sum(score <= value for score in row) for value in expected]
        assert found[2] == [row.count(value) > 1 for value in expected]


@pytest.mark.parametrize("rows", [1, 63, 64, 200])
def test_every_row_is_one_threads(rows, monkeypatch):
    monkeypatch.setattr(counting, "THREADS", 3)
    times = torch.zeros(rows)

    def work(part):
        times[part] += 1

    counting.in_threads(work, rows)
    assert (times == 1).all()
