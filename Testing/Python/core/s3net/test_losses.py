"""The terms that S3-Net minimises: the published ones with their quirks, and what mends them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from medcontext.methods.s3net import losses

SIZES = [(6, 6), (5, 8), (4, 5, 6)]


def logits(sizes: tuple[int, ...], clusters: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(1, clusters, *sizes, generator=torch.Generator().manual_seed(seed))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sizes", SIZES)
def test_self_labelling_is_minus_the_logarithm_of_the_largest_probability(sizes: tuple[int, ...]) -> None:
    found = logits(sizes)
    torch.testing.assert_close(losses.self_labelling(found), -found.softmax(1).amax(1).log().mean())


@pytest.mark.parametrize("sizes", SIZES)
def test_the_published_rotation_changes_nothing(sizes: tuple[int, ...]) -> None:
    aux, labels = logits(sizes, seed=1), logits(sizes).argmax(1)
    unturned = functional.cross_entropy(aux, labels)
    assert losses.affine_output(aux, labels).item() == pytest.approx(unturned.item(), abs=1e-6)


def test_voxels_from_outside_the_image_do_not_count() -> None:
    aux, labels = logits((4, 4)), torch.zeros(1, 4, 4, dtype=torch.long)
    valid = torch.zeros(1, 4, 4, dtype=torch.bool)
    valid[:, 1:3] = True
    inner = losses.affine(aux[:, :, 1:3], labels[:, 1:3])
    torch.testing.assert_close(losses.affine(aux, labels, valid), inner)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_the_published_spatial_term_is_zero_for_one_label_and_has_no_gradient(
    sizes: tuple[int, ...], seed: int
) -> None:
    one = torch.full((1, *sizes), 3)
    assert losses.sobel_labels(one, rng(seed)).item() == pytest.approx(0, abs=1e-5)
    many = losses.sobel_labels(logits(sizes).requires_grad_().argmax(1), rng(seed))
    assert many > 0
    assert not many.requires_grad


def test_it_depends_on_the_palette_and_on_how_labels_are_numbered() -> None:
    labels = logits((12, 12)).argmax(1)
    value = losses.sobel_labels(labels, rng())
    assert losses.sobel_labels(labels, rng(1)) != value
    assert losses.sobel_labels(4 - labels, rng()) != value
    assert losses.sobel_labels(labels, rng()) == value


def test_its_maps_are_those_of_sobel() -> None:
    image = rng().normal(size=(7, 9)).astype(np.float32)
    x = torch.from_numpy(image)[None, None]
    along_j, along_i = (ndimage.sobel(image, axis, mode="mirror") for axis in (0, 1))
    np.testing.assert_allclose(losses.sobel(x, (2,))[0, 0].numpy(), along_j, atol=1e-5)
    np.testing.assert_allclose(losses.sobel(x, (3,))[0, 0].numpy(), along_i, atol=1e-5)
    both = ndimage.correlate(image, np.outer([-1, 0, 1], [-1, 0, 1]).astype(np.float32), mode="mirror")
    np.testing.assert_allclose(losses.sobel(x, (2, 3))[0, 0].numpy(), both, atol=1e-5)


def test_its_value_is_that_of_the_grey_values_of_the_palette() -> None:
    labels = torch.tensor([[[0, 0, 1], [0, 1, 1], [2, 2, 1]]])
    grey = np.round(rng().integers(0, 255, (3, 3)) @ np.array([0.299, 0.587, 0.114])) / 255
    image = grey[labels[0].numpy()]
    j, i = (ndimage.sobel(image, axis, mode="mirror") for axis in (0, 1))
    both = ndimage.correlate(image, np.outer([-1.0, 0, 1], [-1.0, 0, 1]), mode="mirror")
    expected = np.abs(j - i).mean() + np.abs(both - i).mean() + np.abs(both - j).mean()
    assert losses.sobel_labels(labels, rng()).item() == pytest.approx(expected, rel=1e-4)


def test_total_variation_on_a_picture_made_by_hand() -> None:
    image = torch.tensor([[0.0, 1.0, 1.0], [0.0, 3.0, 1.0]])[None, None]
    down, across = (0 + 2 + 0) / 3, (1 + 0 + 3 + 2) / 4
    assert losses.total_variation(image).item() == pytest.approx(down + across)
    one_slice = image.unsqueeze(2)
    assert losses.total_variation(one_slice).item() == pytest.approx(down + across)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("term", [losses.total_variation, lambda o: losses.soft_sobel(o.softmax(1))])
def test_the_mended_terms_are_zero_for_one_answer_and_have_a_gradient(
    sizes: tuple[int, ...], term: object
) -> None:
    assert callable(term)
    same = torch.randn(1, 5, *[1 for _ in sizes]).expand(1, 5, *sizes)
    assert term(same).item() == pytest.approx(0, abs=1e-5)
    found = logits(sizes).requires_grad_()
    term(found).backward()
    assert found.grad is not None
    assert found.grad.abs().max() > 0


def test_mended_terms_do_not_depend_on_how_clusters_are_numbered() -> None:
    found = logits((6, 7))
    turned = found.flip(1)
    torch.testing.assert_close(losses.total_variation(turned), losses.total_variation(found))
    torch.testing.assert_close(losses.soft_sobel(turned.softmax(1)), losses.soft_sobel(found.softmax(1)))
    assert losses.self_labelling(turned).item() == pytest.approx(losses.self_labelling(found).item())
