"""One array of a request as a volume; torch is not needed for it."""

from __future__ import annotations

import numpy as np

from medcontext.errors import InputError
from medcontext.exchange import SharedArray
from medcontext.geometry import Geometry, Volume
from medcontext.worker.requests import VolumeSpec


def open_volume(spec: VolumeSpec) -> Volume:
    """The volume ``(1, K, J, I)`` that a request names, mapped from its file.

    Raises:
        InputError: the array cannot be opened or is no volume of numbers.
    """
    array = SharedArray.from_json(spec.array).open()
    if array.ndim != 3 or array.dtype.kind not in "iuf":
        raise InputError(
            f"A channel is a volume of numbers with three axes (K, J, I), not {array.shape} {array.dtype}."
        )
    geometry = Geometry((array.shape[0], array.shape[1], array.shape[2]), np.array(spec.affine))
    return Volume(array[None], geometry)
