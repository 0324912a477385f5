"""What is to be seen of a run: how well hidden parts of held-out scans are rebuilt."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from medcontext.data.augment.config import AugmentConfig
from medcontext.data.sampling import generator_for
from medcontext.engine.pretext_watch import Sight
from medcontext.engine.preview import Hanging, coarsest_axis
from medcontext.methods.mae.autoencoder import MaskedAutoencoder
from medcontext.methods.mae.batch import draw_crops
from medcontext.methods.mae.config import MaeConfig
from medcontext.methods.mae.targets import error_of_hidden, image_of, statistics_of_seen, target_of
from medcontext.plan import Plan

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A slice: true, what is seen of it (nan where hidden), and rebuilt where hidden."""

CROPS = 2
"""Crops of each scan that is looked at, at least."""
ALL_CROPS = 8
"""Crops that are looked at, at least; scans have more where there are few."""
SHOWN = 3
"""Crops in the picture, of as many scans as there are."""
SEED = 1
"""Of the crops and masks: the same at every look of every run."""


class Rebuilding:
    """Rebuilds crops of some scans.

    Args:
        network: is judged as it is when asked.
        config: with a mask that fits the network.
        plan: of the run.
        volumes: ``(C, K, J, I)`` each; crops of them are copied here.
        ids: their names.
    """

    def __init__(
        self,
        network: MaskedAutoencoder,
        config: MaeConfig,
        plan: Plan,
        volumes: Sequence[np.ndarray],
        ids: Sequence[str],
    ) -> None:
        unchanged = config.engine.model_copy(update={"augment": AugmentConfig.preset("none")})
        count = max(CROPS, -(-ALL_CROPS // max(1, len(volumes))))
        drawing = config.model_copy(update={"engine": unchanged, "crops": count})
        self._network = network
        self._config = config
        self._plan = plan
        self._ids = list(ids)
        self._crops = [
            draw_crops([volume], [generator_for(SEED, 0, index)], plan, drawing)
            for index, volume in enumerate(volumes)
        ]

    @torch.no_grad()
    def __call__(self, check: Callable[[], None]) -> Sight:
        """Error of what is rebuilt and of the mean of what is seen, over hidden voxels; and a picture.

        Args:
            check: called between scans; raises when someone asks to stop.
        """
        device = next(self._network.parameters()).device
        errors, guesses = [], []
        candidates: list[list[Planes]] = []
        for crops in self._crops:
            check()
            image, hidden = crops.image.to(device), crops.hidden.to(device)
            target = target_of(image, self._config)
            rebuilt = self._network(image, hidden).float()
            errors.append(float(error_of_hidden(rebuilt, target, hidden)))
            guess = statistics_of_seen(target, hidden)[0]
            guesses.append(float(error_of_hidden(guess, target, hidden)))
            if len(candidates) < SHOWN:
                candidates.append(self._planes(image, hidden, image_of(rebuilt, image, self._config)))
        if not errors:
            return Sight({})
        signals = {"reconstruction_error": float(np.mean(errors)), "mean_error": float(np.mean(guesses))}
        return Sight(signals, self._picture(candidates), ", ".join(self._ids[:SHOWN]))

    def _planes(self, image: Tensor, hidden: Tensor, rebuilt: Tensor) -> list[Planes]:
        """The middle slices of the crops of a scan, those that show most first."""
        axis, planes = coarsest_axis(self._plan), []
        for crop in image[:, 0].flatten(1).std(1).argsort(descending=True)[:SHOWN]:
            true, mask, said = (x[crop].cpu().numpy() for x in (image[:, 0], hidden, rebuilt[:, 0]))
            volumes = (true, np.where(mask, np.nan, true), np.where(mask, said, true))
            true, seen, told = (np.take(volume, volume.shape[axis] // 2, axis) for volume in volumes)
            planes.append((true, seen, told))
        return planes

    def _picture(self, candidates: Sequence[Sequence[Planes]]) -> bytes:
        """A PNG with a row for each crop."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        hanging = Hanging(self._plan, coarsest_axis(self._plan))
        figure = Figure(figsize=(6, 2.1 * SHOWN), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(SHOWN, 3, squeeze=False)
        for number, line in enumerate(panels):
            scan = number % len(candidates)
            planes = candidates[scan][number // len(candidates)]
            low, high = np.percentile(planes[0], (1, 99.5))
            for axes, plane in zip(line, planes, strict=True):
                axes.set_facecolor("midnightblue")  # shows where nothing is seen
                axes.imshow(
                    hanging.upright(plane),
                    "gray",
                    vmin=low,
                    vmax=max(high, low + 1e-6),
                    aspect=hanging.aspect,
                )
                axes.set(xticks=[], yticks=[])
            line[0].set_ylabel(self._ids[scan][:24], fontsize=7)
        for axes, title in zip(panels[0], ("true", "seen", "rebuilt"), strict=True):
            axes.set_title(title, fontsize=9)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=100)
        return stream.getvalue()
