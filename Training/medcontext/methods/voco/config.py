"""Settings of VoCo."""

from __future__ import annotations

from math import prod
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from medcontext.config import StrictModel
from medcontext.engine.config import EngineConfig, OptimiserConfig
from medcontext.engine.pretext_config import PretextConfig
from medcontext.plan import Size

Triple = tuple[PositiveInt, PositiveInt, PositiveInt]
Share = float
Teacher = Literal["copy", "projector", "none"]


class CropChanges(StrictModel):
    """What happens to each crop by itself; where it came from stays what it was."""

    flip: Share = Field(default=0.2, ge=0, le=1)
    """Probability to be mirrored, for each axis."""
    rotate: Share = Field(default=0.2, ge=0, le=1)
    """Probability to be turned by a multiple of 90 degrees in the plane (J, I); 180 where its sides differ."""
    shift: float = Field(default=0.1, ge=0)
    """Largest number added to or taken from all normalised grey values."""
    shift_probability: Share = Field(default=0.1, ge=0, le=1)
    """Probability of that."""


class ProjectorConfig(StrictModel):
    """The layers that turn features of a crop into its embedding; they are thrown away afterwards."""

    layers: PositiveInt = 3
    """Linear layers; norm and ReLU after each but the last."""
    hidden: PositiveInt | Literal["auto"] = "auto"
    """Width; auto: 128 on a CPU, 2048 elsewhere."""
    out: PositiveInt | Literal["auto"] = "auto"
    """Numbers of an embedding; auto as for hidden."""
    norm: Literal["batch", "layer"] = "batch"
    """batch: over all crops of a step, of all processes; layer: within a crop, which then depends on no other."""


class VoCoConfig(PretextConfig):
    """Settings of VoCo; the defaults are the authors' newer method without its mistakes (preset teacher)."""

    engine: EngineConfig = EngineConfig(
        optimiser=OptimiserConfig(learning_rate=2e-3, weight_decay=0.01, warmup=0.05)
    )
    """After 300 steps on 168 scans (dynunet, small) places in 16 others were found in 62 % of the cases at a learning
    rate of 2e-3, 48 % at 1e-3, 57 % at 3e-3 and 23 % at 3e-4; prediction loss 0.22, 0.24, 0.26 and 0.35."""
    grid: Triple = (1, 3, 3)
    """Base crops along (K, J, I); they touch and do not overlap."""
    cell: PositiveInt | Triple | None = None
    """Voxels of the prepared scan in a crop, one number or (K, J, I); as many as crop_size when not given, so that
    crops are not resized."""
    random_crops: PositiveInt = 4
    """Crops at random places of the grid, whose overlap with each base crop is to be told."""
    changes: CropChanges = CropChanges()
    projector: ProjectorConfig = ProjectorConfig()
    taps: Literal["auto"] | tuple[NonNegativeInt, ...] = "auto"
    """Which of the encoder's outputs are looked at, counted from 0, finest first; auto: all, but for Swin UNETR those
    that feed a block of its own, as published."""
    teacher: Teacher = "copy"
    """copy: a moving average of encoder and projector; projector: of the projector alone; none: the student itself,
    without gradient."""
    ema: float = Field(default=0.9, ge=0, le=1)
    """Momentum of the moving average."""
    teacher_from_student: bool = True
    """The teacher begins as a copy of the student, or with random weights of its own."""
    ema_in_forward: bool = False
    """The teacher moves whenever it is asked, even while nothing is learnt, instead of after each step."""
    halves: Literal["both", "student"] = "both"
    """both: mean of the student's random crops beside the teacher's base crops and the other way round; student: the
    first only."""
    relu: bool = True
    """Similarities below zero count as zero."""
    prediction: Literal["split", "joint"] = "split"
    """split: cells that a crop touches and cells that it does not are averaged apart; joint: all together."""
    negative: Literal["l2", "log"] = "l2"
    """split: similarity l to an untouched cell costs l^2, or -log(1 - l)."""
    regularisation_power: Literal[1, 2] = 2
    """Similarity of two base crops costs its absolute value, or its square."""
    symmetric_regularisation: bool = True
    """Both base crops of a pair learn to differ, or only the first of them."""
    dropped_rows: float = Field(default=0.0, ge=0, lt=1)
    """Share of the crops whose features are all set to zero before the student's projector."""
    w_position: float = Field(default=1.0, ge=0)
    """Weight of the cells that a crop touches; joint: of all cells."""
    w_negative: float = Field(default=1.0, ge=0)
    """Weight of the cells that it does not touch."""
    w_regularisation: float = Field(default=1.0, ge=0)
    """Weight of the similarity between base crops."""
    w_inter: float = Field(default=0.0, ge=0)
    """Weight of agreeing with the teacher on the similarity to the next scan's base crops; a process that has one scan
    a step compares it with itself, as the authors' code does."""
    eps: float = Field(default=1e-6, gt=0)
    """Added inside logarithms and to what is divided by."""

    @model_validator(mode="after")
    def _fits_together(self) -> VoCoConfig:
        if self.cells < 2:
            raise ValueError("grid needs at least two base crops")
        cell = self.cell_size or self.crop
        if self.resize_volume is not None and cell is not None:
            region = times(self.grid, cell)
            if any(n < least for n, least in zip(self.resize_volume, region, strict=True)):
                raise ValueError(f"the grid covers {region} voxels, more than resize_volume")
        if self.teacher == "none" and (self.w_inter or self.halves == "both"):
            raise ValueError("without a teacher halves must be student and w_inter 0")
        if isinstance(self.taps, tuple) and not self.taps:
            raise ValueError("taps needs at least one output")
        return self

    @property
    def cells(self) -> int:
        """Number of base crops."""
        return prod(self.grid)

    @property
    def crops_of_a_scan(self) -> int:
        return self.cells + self.random_crops

    @property
    def cell_size(self) -> Size | None:
        return (self.cell,) * 3 if isinstance(self.cell, int) else self.cell

    def region(self, crop: Size) -> Size:
        return times(self.grid, self.cell_size or crop)

    @property
    def fewest(self) -> Size:
        return times(self.grid, super().fewest)


def times(a: Size, b: Size) -> Size:
    """Product along each axis."""
    k, j, i = (m * n for m, n in zip(a, b, strict=True))
    return k, j, i
