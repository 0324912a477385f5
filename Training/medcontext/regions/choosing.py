"""Which region is the foreground, told without ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from scipy import ndimage

from medcontext.errors import InputError
from medcontext.geometry import Triple
from medcontext.regions.statistics import RegionFacts

Rule = Literal["largest", "contrast", "seeds", "numbers"]
RULES: tuple[Rule, ...] = get_args(Rule)


def choose(
    regions: np.ndarray,
    facts: Sequence[RegionFacts],
    rule: Rule = "largest",
    seeds: Sequence[Triple] = (),
    numbers: Sequence[int] = (),
) -> tuple[np.ndarray, str]:
    """The foreground by a rule.

    Args:
        regions: uint8 ``(K, J, I)``, 1..n.
        facts: of all of them, in the order of their numbers.
        rule: ``largest``: the largest region that does not touch the border of the image; ``contrast``: of those that
            do not touch it the one with the largest ``contrast^2 * share * (1 - share)``, which is Otsu's variance
            between classes where a region has one neighbour (Otsu 1979, equation 14); ``seeds``: the regions in which
            the seeds lie; ``numbers``: the regions of those numbers. Where each region touches the border, the first
            two take those that hold more of the image than of its border, and say so.
        seeds: indices ``(k, j, i)`` of the rule ``seeds``.
        numbers: of the rule ``numbers``, from 1.

    Returns:
        bool ``(K, J, I)``, without holes, and the sentence why. It is in one piece, but for seeds or numbers of
        regions that do not touch.

    Raises:
        InputError: there is no such rule, a seed lies outside of the image, there is no region of a number, or no seed
            or number is given where the rule needs one.
    """
    if rule not in RULES:
        raise InputError(f"There is no rule '{rule}' for the foreground.", f"Rules: {', '.join(RULES)}.")
    if rule in ("seeds", "numbers"):
        values = _at(regions, seeds) if rule == "seeds" else _numbered(numbers, len(facts))
        one, several = (
            ("holds the seed", "hold the seeds") if rule == "seeds" else ("was named", "were named")
        )
        names = " and ".join(str(value) for value in values)
        why = f"Region {names} {one}." if len(values) == 1 else f"Regions {names} {several}."
        return filled(np.isin(regions, values)), why
    inner = [found for found in facts if not found.touches_border]
    place = "of those that do not touch the border"
    if not inner:
        inner = sorted(facts, key=lambda found: found.share - found.border_share)[-1:]
        inner = [found for found in facts if found.share > found.border_share] or inner
        place = "of those that hold more of the image than of its border, as all touch it"
    if rule == "largest":
        best, what = max(inner, key=lambda found: found.voxels), "the largest"
    else:
        best, what = max(inner, key=_separation), "the one that differs most from what surrounds it"
    return largest_piece(filled(regions == best.value)), f"Region {best.value} is {what} {place}."


def filled(mask: np.ndarray) -> np.ndarray:
    """A mask ``(K, J, I)`` without holes: what it surrounds belongs to it, in a picture within the plane."""
    flat = tuple(n for n in mask.shape if n > 1)
    return np.asarray(ndimage.binary_fill_holes(mask.reshape(flat)), bool).reshape(mask.shape)


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask ``(K, J, I)`` that is connected by faces; an empty one stays empty."""
    pieces, count = ndimage.label(mask)
    return mask if count < 2 else np.asarray(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def _separation(found: RegionFacts) -> float:
    return found.contrast**2 * found.share * (1 - found.share)


def _numbered(numbers: Sequence[int], count: int) -> list[int]:
    """The numbers that were given, each once."""
    if not numbers:
        raise InputError("The rule 'numbers' needs the number of a region.", f"Allowed: 1 to {count}.")
    for number in numbers:
        if not 1 <= number <= count:
            raise InputError(
                f"There is no region {number}; the regions are 1 to {count}.",
                "The same seed and options give the same numbers.",
            )
    return sorted(set(numbers))


def _at(regions: np.ndarray, seeds: Sequence[Triple]) -> list[int]:
    """The numbers of the regions in which seeds lie."""
    if not seeds:
        raise InputError(
            "The rule 'seeds' needs a seed.", "Give the index of a voxel inside of the foreground."
        )
    for seed in seeds:
        if not all(0 <= n < size for n, size in zip(seed, regions.shape, strict=True)):
            axes = [axis for axis in range(3) if regions.shape[axis] > 1] or [0, 1, 2]
            given = ", ".join(str(seed[axis]) for axis in axes)
            last = ", ".join(str(regions.shape[axis] - 1) for axis in axes)
            raise InputError(
                f"The seed ({given}) lies outside of the image, whose last voxel is ({last}).",
                f"Give it as {', '.join('KJI'[axis] for axis in axes)}, counted from 0.",
            )
    return sorted({int(regions[seed]) for seed in seeds})
