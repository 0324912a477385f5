"""What score channels stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.errors import InputError
from medcontext.inference.labelling import FEW_SCORES, ScoreMeaning


def test_label_values_need_not_be_consecutive(make_card) -> None:
    card = make_card().model_copy(update={"labels": [{"value": 7, "name": "a"}, {"value": 3, "name": "b"}]})
    meaning = ScoreMeaning(card)
    scores = torch.tensor([[0.0, 5.0, 1.0], [0.0, 1.0, 5.0], [9.0, 1.0, 5.0]])
    np.testing.assert_array_equal(meaning.lookup[meaning.classes(scores, 1)], [7, 3, 0])
    assert meaning.channel_of(3) == 2
    with pytest.raises(InputError, match="label 4"):
        meaning.channel_of(4)


def test_regions_are_painted_in_order(make_card) -> None:
    """Whole tumour, core, enhancing part: nested regions whose scores are above zero give 1, 2 and 3."""
    card = make_card(3, regions=[[1, 2, 3], [2, 3], [3]], activation="sigmoid")
    meaning = ScoreMeaning(card)
    scores = torch.tensor([[-1.0, -1, -1], [2, -1, -1], [2, 2, -1], [2, 2, 2], [-1, -1, 2]])
    np.testing.assert_array_equal(meaning.lookup[meaning.classes(scores, 1)], [0, 1, 2, 3, 3])
    np.testing.assert_array_equal(meaning.lookup[meaning.classes(scores.T, 0)], [0, 1, 2, 3, 3])
    assert meaning.channels == 3


def test_a_card_may_say_what_each_region_paints(make_card) -> None:
    """nnU-Net lists the values itself: here the second of two regions that share label 1 paints it."""
    card = make_card(3, regions=[[1, 2], [1, 3]], region_values=[2, 1], activation="sigmoid")
    meaning = ScoreMeaning(card)
    scores = torch.tensor([[-1.0, -1], [2, -1], [-1, 2], [2, 2]])
    np.testing.assert_array_equal(meaning.lookup[meaning.classes(scores, 1)], [0, 2, 1, 1])
    assert (meaning.channel_of(2), meaning.channel_of(1)) == (0, 1)
    with pytest.raises(InputError, match="2 regions and 1 values"):
        ScoreMeaning(card.model_copy(update={"region_values": [2]}))


def test_mirroring_swaps_the_channels_of_pairs_only(make_card) -> None:
    assert ScoreMeaning(make_card(3, flip_pairs=[(1, 3)])).mirrored_channels() == [0, 3, 2, 1]
    assert ScoreMeaning(make_card(3)).mirrored_channels() is None
    regions = make_card(3, regions=[[1, 2], [3, 2], [2]], activation="sigmoid", flip_pairs=[(1, 3)])
    assert ScoreMeaning(regions).mirrored_channels() == [1, 0, 2]


def test_temperature_calibrates_probabilities_only(make_card) -> None:
    meaning = ScoreMeaning(make_card(1, inference={"temperature": 2.0}))
    probabilities = meaning.probabilities(torch.tensor([[0.0, 4.0]]))
    torch.testing.assert_close(probabilities[0, 1], torch.tensor(2.0).sigmoid())


@pytest.mark.parametrize("channels", [2, 15, 16, 40])
def test_probabilities_are_those_of_softmax_without_overflow(make_card, channels: int) -> None:
    scores = torch.randn(7, channels) * 200
    given = ScoreMeaning(make_card(channels - 1)).probabilities(scores)
    torch.testing.assert_close(given, scores.softmax(-1))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_small_and_large_images_are_labelled_alike(make_card, dim: int) -> None:
    meaning = ScoreMeaning(make_card(labels=3))
    scores = torch.randn(4, 4, 5000, generator=torch.Generator().manual_seed(0)).movedim(0, dim)
    assert scores.numel() > FEW_SCORES > scores.numel() // 5
    whole = meaning.classes(scores, dim)
    along = 2 if dim != 2 else 1  # the axis of 5000, wherever it went
    parts = [meaning.classes(part, dim) for part in scores.split(1000, along)]
    assert whole.dtype == parts[0].dtype == torch.uint8
    assert torch.equal(torch.cat(parts, along - (dim < along)), whole)
