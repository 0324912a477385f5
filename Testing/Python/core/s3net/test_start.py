"""Groups of colour that a run can begin with, and the clusters that it then follows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medcontext.engine.method import Clock
from medcontext.engine.single_image import ImageBatch
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.s3net.losses import nearest_clusters
from medcontext.methods.s3net.method import S3NetMethod, make_network
from medcontext.methods.s3net.picture import prepare
from medcontext.methods.s3net.start import start_clusters

CONFIG = S3NetConfig(channels=8, size=32, start="colours", start_iterations=3, w_start=0.5, w_self=2.0)


def test_groups_of_colour_tell_a_dark_disc_from_the_skin(lesion: np.ndarray, disc: np.ndarray) -> None:
    config = S3NetConfig(size=64)
    found = start_clusters(prepare(lesion, config), 2, config, seed=0)[0].numpy()
    inside = found == np.bincount(found[disc]).argmax()
    assert 2 * (inside & disc).sum() / (inside.sum() + disc.sum()) > 0.8


@pytest.mark.parametrize("sizes", [(16, 20), (8, 10, 12)])
def test_each_voxel_has_a_group_and_the_seed_decides(sizes: tuple[int, ...]) -> None:
    image = torch.randn(1, 2, *sizes)
    found = start_clusters(image, 3, CONFIG, seed=0)
    assert found.shape == (1, *sizes)
    assert found.dtype == torch.int64
    assert set(found.unique().tolist()) <= {0, 1, 2}
    assert torch.equal(found, start_clusters(image, 3, CONFIG, seed=0))


def test_the_groups_are_learnt_first_and_then_the_networks_own_clusters(
    picture: Tensor, clock: Callable[..., Clock]
) -> None:
    network, method = make_network(CONFIG, picture, seed=0), S3NetMethod(CONFIG)
    groups = start_clusters(picture, CONFIG.clusters, CONFIG, seed=0)
    logits = network.train()(picture)[0]
    first = method.loss(network, ImageBatch(picture), clock(2))
    assert "start" not in first
    assert first["self"].item() == pytest.approx(
        2 * functional.cross_entropy(logits, groups).item(), rel=1e-4
    )
    later = method.loss(network, ImageBatch(picture), clock(3))
    own = functional.cross_entropy(logits, nearest_clusters(logits))
    assert later["self"].item() == pytest.approx(2 * own.item(), rel=1e-4)
    assert later["start"].item() == pytest.approx(first["self"].item() / 4, rel=1e-4)


def test_the_nearest_cluster_is_that_of_the_nearest_mean_and_an_empty_one_stays_empty() -> None:
    # Means of the clusters 0 and 1 are (8.3, 0.3, 0) and (0, 4.5, 0); the last voxel is 0 by its largest logit only.
    answer = torch.tensor([[20.0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 5, 0], [1, 0.9, 0]])
    logits = answer.T.reshape(1, 3, 5, 1)
    assert nearest_clusters(logits).flatten().tolist() == [0, 0, 1, 1, 1]
    assert logits.argmax(1).flatten().tolist() == [0, 0, 1, 1, 0]


def test_balanced_clusters_learn_no_scale_and_no_shift(picture: Tensor) -> None:
    free = make_network(CONFIG.updated(["balanced=false"]), picture, seed=0)
    balanced = make_network(CONFIG, picture, seed=0)
    clusters = CONFIG.clusters
    assert [p.numel() for p in balanced.main[-1].parameters()] == []
    assert [p.numel() for p in free.main[-1].parameters()] == [clusters, clusters]
