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
from medcontext.methods.mae.targets import error_of_hidden, image_of, mean_of_seen, target_of
from medcontext.plan import Plan

CROPS = 2
"""Crops of each scan that is looked at."""
SHOWN = 3
"""Scans in the picture."""
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
        drawing = config.model_copy(update={"engine": unchanged, "crops": CROPS})
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
        rows: list[list[np.ndarray]] = []
        for crops in self._crops:
            check()
            image, hidden = crops.image.to(device), crops.hidden.to(device)
            target = target_of(image, self._config)
            rebuilt = self._network(image, hidden).float()
            errors.append(float(error_of_hidden(rebuilt, target, hidden)))
            guesses.append(float(error_of_hidden(mean_of_seen(target, hidden), target, hidden)))
            if len(rows) < SHOWN:
                rows.append(self._planes(image, hidden, image_of(rebuilt, image, self._config)))
        if not errors:
            return Sight({})
        signals = {"reconstruction_error": float(np.mean(errors)), "mean_error": float(np.mean(guesses))}
        return Sight(signals, self._picture(rows), ", ".join(self._ids[:SHOWN]))

    def _planes(self, image: Tensor, hidden: Tensor, rebuilt: Tensor) -> list[np.ndarray]:
        """The middle slice of the crop that shows most: true, what is seen (nan where hidden), rebuilt."""
        best = int(image[:, 0].flatten(1).std(1).argmax())
        true, mask, guess = (x.cpu().numpy() for x in (image[best, 0], hidden[best], rebuilt[best, 0]))
        volumes = (true, np.where(mask, np.nan, true), np.where(mask, guess, true))
        axis = coarsest_axis(self._plan)
        return [np.take(volume, volume.shape[axis] // 2, axis) for volume in volumes]

    def _picture(self, rows: Sequence[Sequence[np.ndarray]]) -> bytes:
        """A PNG with a row for each scan."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        hanging = Hanging(self._plan, coarsest_axis(self._plan))
        figure = Figure(figsize=(6, 2.1 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(rows), 3, squeeze=False)
        for line, planes, name in zip(panels, rows, self._ids, strict=False):
            low, high = np.percentile(planes[0], (1, 99.5))
            for axes, plane, title in zip(line, planes, ("true", "seen", "rebuilt"), strict=True):
                axes.set_facecolor("midnightblue")  # shows where nothing is seen
                axes.imshow(
                    hanging.upright(plane),
                    "gray",
                    vmin=low,
                    vmax=max(high, low + 1e-6),
                    aspect=hanging.aspect,
                )
                axes.set(xticks=[], yticks=[])
                if line is panels[0]:
                    axes.set_title(title, fontsize=9)
            line[0].set_ylabel(name[:24], fontsize=7)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=100)
        return stream.getvalue()
