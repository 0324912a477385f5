"""What a batch run is asked to do, as data. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from medcontext.config import StrictModel

if TYPE_CHECKING:
    from medcontext.inference.plan import ExecutionPlan

Format = Literal["nii.gz", "seg.nrrd", "dicom-seg", "stl", "obj"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]


class FixedPlan(StrictModel):
    """How windows are computed, fixed: with it a run gives the results of another one to the bit."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of convolutions and products; sums stay float32."""
    channels_last: bool = False
    """Weights cast to ``precision``, channels stored last."""
    batch: int = Field(default=1, ge=1)
    """Windows in one call."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of the CPU; one a core when null."""

    def execution(self) -> ExecutionPlan:
        """As the predictor takes it."""
        from medcontext.inference.plan import ExecutionPlan

        return ExecutionPlan(self.precision, self.channels_last, self.batch)


class BatchOptions(StrictModel):
    """What a batch run is asked to do."""

    model: str
    """Library id, ``id@version`` or folder."""
    formats: tuple[Format, ...] = ("nii.gz",)
    """Output formats."""
    certainty: Literal["entropy", "masked", "none"] = "entropy"
    """Where the certainty of a case comes from."""
    certainty_map: bool = False
    """Whether the map is written as well."""
    device: str = "auto"
    """auto, cuda, cuda:1, mps or cpu."""
    precision: PrecisionName = "auto"
    """Number format of the network's arithmetic."""
    odd: Literal["resample", "refuse"] = "resample"
    """What becomes of scans with a tilted gantry or uneven gaps between slices."""
    keep_identifiers: bool = False
    """Whether names of patients and folders may enter the ledger, file names and reports."""
    overwrite: bool = False
    """Whether finished cases are computed anew and files that this batch did not write are replaced."""
    verify: bool = False
    """Whether the contents of inputs are hashed again to recognise a finished case, instead of looking at times."""
    shard: tuple[int, int] | None = None
    """Work on one part of the cases only: its number from 1, and how many parts there are."""
    cluster: str | None = None
    """``local:N``, ``tcp://scheduler:8786`` or ``slurm:config.yaml``."""
    memory_limit_gb: float | None = Field(default=None, gt=0)
    """Main memory that cases may take together, in GB; a share of what is free when null."""
    limit: int | None = Field(default=None, ge=1)
    """Work on so many unfinished cases at most."""
    plan: FixedPlan | None = None
    """How windows are computed; measured on the first case when null."""
    scenes: bool = False
    """Whether the caller turns finished cases into scenes of 3D Slicer."""

    @field_validator("shard")
    @classmethod
    def _a_part(cls, shard: tuple[int, int] | None) -> tuple[int, int] | None:
        if shard is not None and not 1 <= shard[0] <= shard[1]:
            raise ValueError(f"there is no part {shard[0]} of {shard[1]}; the first is 1")
        return shard

    @field_validator("formats")
    @classmethod
    def _each_once(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        if not formats:
            raise ValueError("at least one format is needed")
        return tuple(dict.fromkeys(formats))

    @property
    def shard_name(self) -> str:
        """The part as file names and ledger rows have it; empty for the whole."""
        return "" if self.shard is None else f"{self.shard[0]}-of-{self.shard[1]}"

    def hash(self, roi: str | None = None) -> str:
        """16 hex digits over what changes the results of a case; where and when it is computed does not.

        Args:
            roi: region of interest of the case.
        """
        names = ("formats", "certainty", "certainty_map", "precision", "odd", "plan")
        facts = self.model_dump(mode="json", include=set(names))
        facts["formats"] = sorted(facts["formats"])
        text = json.dumps({**facts, "roi": roi}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
