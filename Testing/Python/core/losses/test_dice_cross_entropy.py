"""The segmentation loss against MONAI's, and what it does with voxels nobody annotated."""

import pytest
import torch
from monai.losses import DiceCELoss

from medcontext.losses.config import DiceCrossEntropyConfig
from medcontext.losses.dice_cross_entropy import DiceCrossEntropy


@pytest.fixture
def a_field() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of 4 classes for two samples and labels that hold all of them."""
    torch.manual_seed(0)
    return torch.randn(2, 4, 5, 6, 7), torch.randint(0, 4, (2, 5, 6, 7))


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("batch", [True, False])
def test_equals_monai(a_field, squared, background, batch):
    logits, labels = a_field
    options = {"include_background": background, "batch": batch}
    mine = DiceCrossEntropy(
        DiceCrossEntropyConfig(squared=squared, smooth_numerator=0, smooth_denominator=1e-6, **options)
    )
    theirs = DiceCELoss(
        to_onehot_y=True, softmax=True, squared_pred=squared, smooth_nr=0, smooth_dr=1e-6, **options
    )
    a, b = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, reference = mine(a, labels), theirs(b, labels[:, None])
    if not background:  # MONAI leaves background out of the cross-entropy too
        reference = reference - theirs.ce(b, labels[:, None]) + torch.nn.functional.cross_entropy(b, labels)
    assert loss.item() == pytest.approx(reference.item(), abs=1e-6)
    loss.backward()
    reference.backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-7)


def test_ignored_voxels_change_nothing(a_field):
    logits, labels = a_field
    labels[:, :, :3] = 255
    changed = logits.clone()
    changed[:, :, :, :3] = 100 * torch.randn_like(changed[:, :, :, :3])
    loss = DiceCrossEntropy()
    assert torch.equal(loss(logits, labels), loss(changed, labels))


def test_ignoring_a_region_equals_cutting_it_away(a_field):
    logits, labels = a_field
    ignored = labels.clone()
    ignored[:, 2:] = 255
    loss = DiceCrossEntropy()
    assert loss(logits, ignored).item() == pytest.approx(
        loss(logits[:, :, :2], labels[:, :2]).item(), abs=1e-6
    )


def test_nothing_annotated_gives_a_finite_loss_without_gradient(a_field):
    logits = a_field[0].requires_grad_()
    loss = DiceCrossEntropy(DiceCrossEntropyConfig(dice_weight=0))(logits, torch.full((2, 5, 6, 7), 255))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_an_unknown_label_may_hide_in_the_background(a_field):
    logits, labels = a_field
    labels[labels == 3] = 0
    known = torch.tensor([[True, True, True, False]] * 2)
    loss = DiceCrossEntropy()
    surely_unknown = logits.clone()
    surely_unknown[:, 3] += 50  # the network says class 3 everywhere
    background_only = torch.where(labels == 0, 0, 255)
    assert loss(surely_unknown, background_only, known).item() == pytest.approx(0, abs=1e-3)
    assert loss(surely_unknown, background_only).item() > 10


def test_gradients_stay_finite_for_extreme_logits():
    logits = torch.tensor([1e4, -1e4, 0.0, 5.0]).view(1, 4, 1, 1, 1).repeat(1, 1, 2, 2, 2).requires_grad_()
    labels = torch.full((1, 2, 2, 2), 1)
    known = torch.tensor([[True, True, False, False]])
    DiceCrossEntropy()(logits, labels, known).backward()
    assert torch.isfinite(logits.grad).all()


def test_deep_supervision_weights_fall_by_half_and_sum_to_one(a_field):
    logits, labels = a_field
    loss = DiceCrossEntropy()
    coarse = logits[:, :, ::2, ::2, ::2]
    target = torch.nn.functional.interpolate(labels[:, None].float(), coarse.shape[2:], mode="nearest-exact")[
        :, 0
    ]
    expected = 2 / 3 * loss(logits, labels) + 1 / 3 * loss(coarse, target)
    assert loss.deep([logits, coarse], labels).item() == pytest.approx(expected.item(), abs=1e-6)
