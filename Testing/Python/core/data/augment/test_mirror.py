"""Mirrored views are undone correctly, sides included."""

from __future__ import annotations

import pytest
import torch

from medcontext.data.augment.mirror import (
    left_right_axis,
    mirror,
    mirror_classes,
    mirror_combinations,
    mirror_known,
    mirror_labels,
)
from medcontext.errors import InputError


@pytest.mark.parametrize(("code", "axis"), [("LPS", 2), ("RAS", 2), ("PSR", 0), ("ALS", 1)])
def test_left_right_axis(code: str, axis: int) -> None:
    assert left_right_axis(code) == axis


def test_left_right_axis_of_images_that_are_transposed_or_stay_as_stored() -> None:
    assert left_right_axis("LPS", (2, 0, 1)) == 0
    assert left_right_axis("PSR", (1, 2, 0)) == 2
    assert left_right_axis("stored", (2, 0, 1)) is None


def test_left_right_axis_of_nonsense() -> None:
    with pytest.raises(InputError, match="APS"):
        left_right_axis("APS")


def test_views_are_their_own_inverse() -> None:
    x = torch.randn(2, 3, 4, 5, 6)
    for axes in mirror_combinations([2, 0]):
        assert torch.equal(mirror(mirror(x, axes), axes), x)
        assert torch.equal(mirror_classes(mirror_classes(x, axes, [(1, 2)]), axes, [(1, 2)]), x)
    assert mirror_combinations([2, 0]) == [(), (0,), (2,), (0, 2)]
    assert mirror_combinations([]) == [()]


@pytest.mark.parametrize("axes", [(), (0,), (2,), (1, 2)])
def test_scores_and_labels_mirror_alike(axes: tuple[int, ...]) -> None:
    scores = torch.randn(1, 4, 4, 5, 6)
    labels = scores.argmax(1, keepdim=True)
    from_scores = mirror_classes(scores, axes, [(1, 3)]).argmax(1, keepdim=True)
    assert torch.equal(from_scores, mirror_labels(labels, axes, [(1, 3)]))


def test_what_is_known_of_a_side_follows_it() -> None:
    known = torch.tensor([True, True, True, False])  # class 3, the right side of 1, was not annotated
    assert mirror_known(known, (0, 2), [(1, 3)]).tolist() == [True, False, True, True]
    assert torch.equal(mirror_known(known, (0, 1), [(1, 3)]), known)


def test_mirrored_view_of_a_symmetric_rule_gives_the_same_prediction() -> None:
    """A rule that says "left" (class 1) for I below the middle and "right" (2) above."""

    def network(x: torch.Tensor) -> torch.Tensor:
        side = torch.arange(6).float() - 2.5
        return torch.stack([x[:, 0] * 0, x[:, 0] - side, x[:, 0] + side], 1)

    x = torch.randn(2, 1, 4, 5, 6)
    for axes in mirror_combinations([0, 1, 2]):
        torch.testing.assert_close(mirror_classes(network(mirror(x, axes)), axes, [(1, 2)]), network(x))
