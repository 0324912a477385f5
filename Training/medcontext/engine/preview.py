"""A small picture of what a network can do so far: one slice, what was painted there and what it predicts."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import binary_erosion

from medcontext.data.preprocess import PreparedCase
from medcontext.labels import IGNORE
from medcontext.plan import STORED, Plan

PIXELS = 480
"""Length of the longer side."""
VEIL = 0.45
"""Opacity of the prediction."""
OUTLINE = 2
"""Width of the reference's outline in pixels."""
UNKNOWN = "LPS"
"""What images that stay as they are stored are hung as."""
_VERTICAL = ("SI", "AP", "RL")
"""Directions in the order in which they become the vertical of a picture; the second letter points down or right."""


def best_slice(case: PreparedCase, plan: Plan) -> tuple[int, int]:
    """Axis and index of the slice that shows most annotated structure.

    It lies across the coarsest axis, where slices look as they were acquired; the middle one where nothing is
    annotated.
    """
    axis = coarsest_axis(plan)
    depth = case.image.shape[1 + axis]
    labels = np.asarray(case.labels)
    shown = ((labels > 0) & (labels != IGNORE)).sum(axis=tuple(a for a in range(3) if a != axis))
    return axis, int(shown.argmax()) if shown.any() else depth // 2


def coarsest_axis(plan: Plan) -> int:
    """The array axis along which voxels are longest; the first of several."""
    return int(np.argmax(plan.spacing))


class Hanging:
    """How slices hang as radiologists hang them: head or front up, the patient's right on the left.

    Args:
        plan: orientation and spacing.
        axis: array axis that the slices lie across.
    """

    def __init__(self, plan: Plan, axis: int) -> None:
        others = [a for a in range(3) if a != axis]
        code = UNKNOWN if plan.orientation == STORED else plan.orientation
        letters, spacing = (
            [code[2 - plan.transpose[a]] for a in others],
            [plan.spacing[a] for a in others],
        )
        ranks = [next(i for i, pair in enumerate(_VERTICAL) if letter in pair) for letter in letters]
        self._turned = ranks[0] > ranks[1]
        if self._turned:
            letters, spacing = letters[::-1], spacing[::-1]
        self._backwards = tuple(axis for axis, letter in enumerate(letters) if letter in "SAR")
        self._spacing = spacing

    @property
    def aspect(self) -> float:
        """Height of a voxel that hangs, divided by its width."""
        return self._spacing[0] / self._spacing[1]

    def upright(self, plane: np.ndarray) -> np.ndarray:
        """The plane as it hangs."""
        return np.flip(plane.T if self._turned else plane, self._backwards)

    def pixels(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of a plane that hangs: a millimetre has the same length in both directions."""
        extent = [n * mm for n, mm in zip(shape, self._spacing, strict=True)]
        height, width = (max(1, round(PIXELS * length / max(extent))) for length in extent)
        return height, width


class Preview:
    """Draws the prediction of one slice over the image, inside the outline of the reference.

    Args:
        case: a labelled one.
        plan: orientation, spacing and colours.
        index: of the slice, across the coarsest axis.

    Attributes:
        axis, index: the slice, in ``(K, J, I)``.
    """

    def __init__(self, case: PreparedCase, plan: Plan, index: int) -> None:
        self.axis, self.index = coarsest_axis(plan), index
        self._hanging = Hanging(plan, self.axis)
        grey = self._hanging.upright(np.take(case.image[0], self.index, self.axis))
        self._size = self._hanging.pixels(grey.shape)
        self._colors = [label.color for label in plan.label_set]
        self._base = _grey(grey.astype(np.float32), self._size)
        reference = self._to_pixels(np.take(np.asarray(case.labels), self.index, self.axis))
        shown = [index for index in range(1, len(self._colors) + 1) if (reference == index).any()]
        self._outlines = [(index, _outline(reference == index)) for index in shown]

    def draw(self, predicted: np.ndarray) -> bytes:
        """A PNG.

        Args:
            predicted: class indices of the slice, as it lies in the volume.
        """
        picture, classes = self._base.copy(), self._to_pixels(predicted)
        for index, color in enumerate(self._colors, start=1):
            inside = classes == index
            picture[inside] = (1 - VEIL) * picture[inside] + VEIL * np.array(color, np.float32)
        for index, outline in self._outlines:
            picture[outline] = self._colors[index - 1]
        return png(picture.round().astype(np.uint8))

    def _to_pixels(self, plane: np.ndarray) -> np.ndarray:
        """Classes at the size of the picture."""
        upright = self._hanging.upright(plane)
        rows, columns = (
            (np.arange(size) * length // size) for size, length in zip(self._size, upright.shape, strict=True)
        )
        return upright[np.ix_(rows, columns)]


def _grey(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grey values from the 1st to the 99.5th percentile, ``(height, width, 3)`` from 0 to 255."""
    low, high = np.percentile(plane, (1, 99.5))
    scaled = np.clip((plane - low) / max(float(high - low), 1e-6), 0, 1)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(scaled))[None, None], size, mode="bilinear", antialias=True
    )
    return np.repeat(255 * resized[0, 0].numpy()[..., None], 3, axis=-1)


def _outline(mask: np.ndarray) -> np.ndarray:
    return mask & ~binary_erosion(mask, iterations=OUTLINE, border_value=1)


def png(picture: np.ndarray) -> bytes:
    """A picture ``(height, width, 3)`` uint8 as a PNG."""
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, picture, format="png", pil_kwargs={"compress_level": 1})  # the network waits for it
    return stream.getvalue()
