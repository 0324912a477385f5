"""What MONAI has no word for, kept in the metadata of our own bundles, so that they come back whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medcontext.card_schema import InputRange, ModelCard
from medcontext.config import StrictModel
from medcontext.plan import NetworkSpec

KEY = "medcontext"
"""Of ``metadata.json``."""

Axis = Literal[0, 1, 2]


class Extras(StrictModel):
    """Facts of a card that MONAI does not know. Axes are those of the network's grid, (K, J, I)."""

    network: NetworkSpec
    """Of bundles whose network is a program: what the program computes."""
    range: InputRange
    """What the training images looked like."""
    allowed_flips: list[Axis] = Field(default_factory=list)
    """Axes along which mirrored anatomy is still anatomy."""
    flip_pairs: list[tuple[int, int]] = Field(default_factory=list)
    """Label values that swap when mirrored along the left-right axis."""
    flips: list[Axis] = Field(default_factory=list)
    """Axes over which mirrored predictions are averaged."""
    separate_z: Axis | None = None
    """Axis along which the nearest slice is taken, or None."""
    temperature: float = Field(default=1.0, gt=0)
    """Divisor of the logits that calibrates probabilities."""

    @classmethod
    def of(cls, card: ModelCard) -> Extras:
        """Those of a card."""
        return cls.model_validate(
            {
                "network": card.network.model_dump(),
                "range": card.input.range.model_dump(),
                "allowed_flips": card.allowed_flips,
                "flip_pairs": card.flip_pairs,
                "flips": card.inference.flips,
                "separate_z": card.inference.resample.separate_z,
                "temperature": card.inference.temperature,
            }
        )

    def on(self, card: ModelCard) -> ModelCard:
        """A card that was made from the rest of a bundle, completed. Pairs of labels that it has not are left out."""
        values = set(card.label_set.values)
        pairs = [pair for pair in self.flip_pairs if values.issuperset(pair)]
        resample = card.inference.resample.model_copy(update={"separate_z": self.separate_z})
        inference = {"flips": list(self.flips), "temperature": self.temperature, "resample": resample}
        return card.model_copy(
            update={
                "input": card.input.model_copy(update={"range": self.range}),
                "allowed_flips": list(self.allowed_flips),
                "flip_pairs": pairs,
                "inference": card.inference.model_copy(update=inference),
            }
        )
