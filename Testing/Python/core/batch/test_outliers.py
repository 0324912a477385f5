"""Which cases a person sees first, and what is said of them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from medcontext.batch_ledger import FAILED, find_outliers, number_text, outliers, review_order, usual_volumes


def rows(volumes: list[dict[str, float]], **more: list[Any]) -> dict[str, dict[str, Any]]:
    """Finished cases ``case0``, ``case1``, ... with these volumes in mL."""
    return {
        f"case{index}": {
            "case": f"case{index}",
            "state": "done",
            "volumes_ml": volume,
            **{key: values[index] for key, values in more.items()},
        }
        for index, volume in enumerate(volumes)
    }


def spread(count: int, middle: float = 1.5) -> list[float]:
    """Volumes around a median with a robust standard deviation of about 10 %."""
    return [middle * math.exp(0.1 * (index - (count - 1) / 2) * 4 / count) for index in range(count)]


def test_a_volume_far_from_the_rest_is_said_in_words() -> None:
    found = outliers(rows([{"Anterior": volume} for volume in [*spread(20), 0.2]]))
    assert list(found) == ["case20"]
    assert found["case20"] == ["Anterior 0.2 mL, usual 1.1 to 2"]


def test_large_and_small_count_alike() -> None:
    found = find_outliers(rows([{"Liver": volume} for volume in [*spread(20, 1500), 150, 15000]]))
    small, large = found["case20"][0], found["case21"][0]
    assert small.distance == pytest.approx(large.distance, rel=0.1)
    assert (large.kind, large.label) == ("volume", "Liver")
    assert large.text.startswith("Liver 15000 mL, usual 1")


def test_a_few_odd_ones_do_not_hide_each_other() -> None:
    found = outliers(rows([{"A": volume} for volume in [*spread(20), 40.0, 41.0, 42.0, 43.0, 44.0]]))
    assert set(found) == {f"case{index}" for index in range(20, 25)}


def test_fewer_than_eight_cases_do_not_tell_what_is_usual() -> None:
    assert outliers(rows([{"A": volume} for volume in [1, 1, 1, 1, 1, 1, 50]])) == {}
    assert set(outliers(rows([{"A": volume} for volume in [1, 1, 1, 1, 1, 1, 1, 50]]))) == {"case7"}


def test_small_differences_are_no_news_however_alike_the_rest_is() -> None:
    assert outliers(rows([{"A": volume} for volume in [*[1.0] * 20, 1.1]])) == {}


def test_a_structure_that_only_this_case_lacks_comes_first() -> None:
    volumes = [{"A": volume, "B": 2.0} for volume in [*spread(20), 0.1]] + [{"A": 0.0, "B": 2.0}]
    table = rows(volumes)
    assert outliers(table)["case21"] == ["A not found, but in 21 of 22 cases"]
    assert review_order(table)[:2] == ["case21", "case20"]


def test_a_structure_that_only_this_case_has_is_said() -> None:
    table = rows([{"A": volume, "Tumour": 0.0} for volume in spread(20)] + [{"A": 1.5, "Tumour": 0.4}])
    assert outliers(table) == {"case20": ["Tumour 0.4 mL, not found in 20 of 21 cases"]}


def test_a_structure_that_every_second_scan_shows_is_not_missed_in_the_others() -> None:
    assert outliers(rows([{"A": 1.0, "Bladder": 100.0 * (index % 2)} for index in range(20)])) == {}


def test_a_case_in_which_nothing_was_found_has_one_reason() -> None:
    table = rows([{"A": volume, "B": volume} for volume in spread(10)] + [{"A": 0.0, "B": 0.0}])
    assert outliers(table) == {"case10": ["nothing was found"]}
    assert outliers(rows([{"A": 0.0}, {"A": 1.0}])) == {"case0": ["nothing was found"]}


def test_low_certainty_and_dice_are_outliers_and_high_ones_are_not() -> None:
    sure = [0.9 + 0.002 * index for index in range(20)]
    table = rows(
        [{"A": 1.0}] * 22, certainty=[*sure, 0.5, 0.999], dice=[*[{"A": s} for s in sure], {}, {"A": 0.1}]
    )
    found = outliers(table)
    assert set(found) == {"case20", "case21"}
    assert found["case20"] == ["certainty 0.50, usual 0.88 to 0.95"]
    assert found["case21"] == ["Dice of A 0.10, usual 0.88 to 0.94"]


def test_the_least_certain_follow_the_outliers() -> None:
    volumes = [{"A": volume} for volume in [*spread(10), 20.0]]
    sure = [0.9, 0.8, None, 0.95, 0.85, 0.91, 0.92, 0.93, 0.94, 0.89, 0.99]
    order = review_order(rows(volumes, certainty=sure))
    assert order[:4] == ["case10", "case1", "case4", "case9"]
    assert order[-1] == "case2"  # nobody knows how sure the model was
    assert len(order) == 11


def test_only_finished_cases_are_looked_at() -> None:
    table = rows([{"A": volume} for volume in [*spread(10), 20.0]])
    table["case10"]["state"] = FAILED
    table["failed"] = {"case": "failed", "state": FAILED}
    assert outliers(table) == {}
    assert set(review_order(table)) == {f"case{index}" for index in range(10)}


def test_damaged_rows_do_not_end_the_search() -> None:
    table = rows([{"A": volume} for volume in spread(10)])
    table["case0"]["volumes_ml"] = None
    table["case1"]["volumes_ml"] = {"A": None}
    table["case2"] |= {"certainty": "high", "dice": [1]}
    assert outliers(table) == {}


def test_the_usual_range_is_around_the_median() -> None:
    usual = usual_volumes([0.0, *spread(21)])
    assert usual is not None
    middle, low, high = usual
    assert middle == pytest.approx(1.5)
    assert low * high == pytest.approx(middle**2)
    assert usual_volumes([1.0] * 7 + [0.0]) is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.00123, "0.00123"), (1.2, "1.2"), (12.345, "12.3"), (12345.6, "12346")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number_text(value) == text
