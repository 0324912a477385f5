"""S3-Net on the common engine.

One step on one image: the largest logit of each voxel is its cluster, and the network is to be more certain of it
(self); another head is to say the same of a changed image (affine), and neighbours are to be alike (spatial). Batch
norm of the logits lets clusters compete. With the weights of affine and spatial at zero it is the loop of Kim et al.,
*Unsupervised Learning of Image Segmentation Based on Differentiable Feature Clustering* (IEEE TIP 2020, arXiv
2007.09990).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from medcontext.data.sampling import generator_for
from medcontext.engine.method import Clock, Stage
from medcontext.engine.single_image import ImageBatch
from medcontext.methods.s3net import losses
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.s3net.start import start_clusters
from medcontext.methods.s3net.transforms import draw_change
from medcontext.networks.s3net.network import S3Net
from medcontext.plan import Plan

CHANGE_STREAM, PALETTE_STREAM = 105, 106
"""Keys that keep the random changes of the image apart from the palette."""


def make_network(config: S3NetConfig, image: Tensor, seed: int) -> S3Net:
    """The network for an image ``(1, C, *spatial)``, with weights drawn from the seed."""
    dims = image.ndim - 2
    torch.manual_seed(seed)
    if dims == 3:
        deformation, size = "off", None
    else:
        deformation, size = config.deformation, (image.shape[2], image.shape[3])
    return S3Net(
        image.shape[1],
        config.channels,
        config.clusters,
        config.blocks,
        deformation,  # type: ignore[arg-type]
        size,
        dims,
        config.balanced,
    )


class S3NetMethod:
    """Groups the voxels of one image; see the module's text.

    It works with any network that maps ``(1, C, *spatial)`` to logits ``(1, K, *spatial)`` or to two such; one that
    gives one is asked to agree with itself.

    Attributes:
        clusters_left: clusters that had a voxel in the last step; 0 before the first.
        changed_share: share of the voxels whose cluster changed in the last step; 1 in the first.
    """

    name = "s3net"

    def __init__(self, config: S3NetConfig) -> None:
        self.config = config
        self.clusters_left = 0
        self.changed_share = 1.0
        self._network: nn.Module | None = None
        self._image: Tensor | None = None
        self._labels: Tensor | None = None
        self._start: Tensor | None = None

    def build(self, network: nn.Module, plan: Plan) -> nn.Module:  # noqa: ARG002
        self._network = network
        return network

    def stages(self, batch_size: int, unlabelled_cases: int, total: int) -> list[Stage]:  # noqa: ARG002
        return [Stage("s3net", 1.0, 1.0, labelled=0, unlabelled=1)]

    def loss(self, student: nn.Module, batch: ImageBatch, clock: Clock) -> Mapping[str, Tensor]:
        """The terms ``self``, ``start``, ``affine`` and ``spatial``; those of weight zero are left out.

        While the groups of colour are learnt, they take the place of the network's own clusters.
        """
        config, self._image = self.config, batch.image
        logits, aux = _heads(student(batch.image))
        self._note(logits.detach().argmax(1), logits.shape[1])
        start = self._start_clusters(logits.shape[1], clock.seed)
        learning = start is not None and clock.step < config.start_iterations
        labels = start if start is not None and learning else self._own_clusters(logits.detach())
        terms = {}
        if config.w_self:
            terms["self"] = config.w_self * losses.self_labelling(logits, labels)
        if config.w_start and start is not None and not learning:
            terms["start"] = config.w_start * losses.self_labelling(logits, start)
        if config.w_affine:
            terms["affine"] = config.w_affine * self._affine(student, aux, labels, clock)
        if config.w_spatial:
            terms["spatial"] = config.w_spatial * self._spatial(logits, labels, clock)
        return terms

    def _start_clusters(self, clusters: int, seed: int) -> Tensor | None:
        """The groups of colour that a run begins with; None where it begins with random weights."""
        if self._start is None and self.config.start == "colours":
            self._start = start_clusters(cast(Tensor, self._image), clusters, self.config, seed)
        return self._start

    def _own_clusters(self, logits: Tensor) -> Tensor:
        return losses.nearest_clusters(logits) if self.config.own == "nearest" else logits.argmax(1)

    def _affine(self, student: nn.Module, aux: Tensor, labels: Tensor, clock: Clock) -> Tensor:
        if self.config.transform == "output":
            return losses.affine_output(aux, labels)
        image = cast(Tensor, self._image)
        change = draw_change(
            image, self.config.changes, generator_for(clock.seed, clock.step, 0, CHANGE_STREAM)
        )
        view = change.image(image)
        seen = student.other_head(view) if isinstance(student, S3Net) else _heads(student(view))[1]
        return losses.affine(seen, change.labels(labels), change.valid)

    def _spatial(self, logits: Tensor, labels: Tensor, clock: Clock) -> Tensor:
        if self.config.spatial == "total_variation":
            return losses.total_variation(logits)
        if self.config.spatial == "soft_sobel":
            return losses.soft_sobel(logits.softmax(1))
        # One palette for the whole run, as the published program draws it.
        return losses.sobel_labels(labels, generator_for(clock.seed, 0, 0, PALETTE_STREAM))

    def _note(self, labels: Tensor, clusters: int) -> None:
        """What the stop rules look at."""
        self.clusters_left = int((torch.bincount(labels.flatten(), minlength=clusters) > 0).sum())
        if self._labels is not None and self._labels.shape == labels.shape:
            self.changed_share = float((self._labels != labels).float().mean())
        self._labels = labels

    def finished(self, steps: int) -> bool:
        """Whether the run is over after so many steps: few clusters are left, or hardly a voxel changes its own."""
        config = self.config
        if steps < config.least_iterations:
            return False
        settled = config.settled_share > 0 and self.changed_share <= config.settled_share
        return steps >= config.most_iterations or self.clusters_left <= config.least_clusters or settled

    @torch.no_grad()
    def logits(self) -> Tensor:
        """The answer ``(K, *spatial)`` of the network as it is now, on its device.

        Batch norm uses the statistics of this image, as while learning, unless the setting bn_eval says otherwise.

        Raises:
            RuntimeError: nothing was learnt yet.
        """
        if self._network is None or self._image is None:
            raise RuntimeError("build() and loss() come first")
        device = next(self._network.parameters()).device
        self._network.train(not self.config.bn_eval)
        return _heads(self._network(self._image.to(device)))[0][0]

    def labels(self) -> Tensor:
        """The cluster of each voxel, int64 ``(*spatial)``: the largest of :meth:`logits`."""
        return self.logits().argmax(0)

    def after_step(self, student: nn.Module, momentum: float) -> None:
        """Nothing is averaged."""

    def deliver(self) -> nn.Module:
        if self._network is None:
            raise RuntimeError("build() comes first")
        return self._network

    def mask_token(self) -> None:
        return None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """There is nothing to restore."""


def _heads(answer: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Both heads; a network that has one gives its logits twice."""
    return (answer, answer) if isinstance(answer, Tensor) else answer
