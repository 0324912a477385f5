"""The strict form of ``model.json``: everything needed to use a model, as data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from medcontext.config import StrictModel
from medcontext.labels import LabelSet
from medcontext.plan import Channel, NetworkSpec, Plan, ResamplePlan, Size, Spacing

SCHEMA_VERSION = 1


class InputRange(StrictModel):
    """What the training images looked like; outside of it the user is warned."""

    spacing: tuple[Spacing, Spacing]
    """Smallest and largest spacing in mm, (K, J, I)."""
    field_of_view: tuple[Spacing, Spacing] | None = None
    """Smallest and largest extent in mm, (K, J, I); None where scans of any extent are meant or nothing is known."""


class InputSpec(StrictModel):
    """What the network takes. Per-axis values are in array order (K, J, I)."""

    dims: Literal[2, 3] = 3
    channels: list[Channel]
    spacing: Spacing
    orientation: str
    """Orientation of (i, j, k) that images are brought to; ``stored`` leaves them as they are in their file."""
    transpose: Size = (0, 1, 2)
    """Array axes of the image in that orientation, in the network's order; all else is along the axes after that."""
    crop_to_nonzero: bool = False
    """Whether everything outside of the box of voxels that are not zero is cut off first."""
    patch_size: Size
    range: InputRange

    @classmethod
    def of(cls, plan: Plan) -> InputSpec:
        """What a network trained by a plan takes."""
        seen = plan.fingerprint
        return cls(
            dims=3 if plan.resample.kept_axis is None else 2,
            channels=plan.channels,
            spacing=plan.spacing,
            orientation=plan.orientation,
            transpose=plan.transpose,
            crop_to_nonzero=plan.crop_to_nonzero,
            patch_size=plan.patch_size,
            range=InputRange(spacing=seen.spacing_range, field_of_view=seen.field_of_view_range),
        )


class Postprocess(StrictModel):
    """Clean-up after labelling."""

    largest_component: list[int] = Field(default_factory=list)
    """Label values of which only the largest connected piece is kept."""


class InferenceSpec(StrictModel):
    """How the model is applied."""

    overlap: float = Field(default=0.5, ge=0, lt=1)
    """Share of a window that the next one repeats."""
    window_weight: Literal["gaussian", "nnunet"] = "gaussian"
    """How much the voxels of a window count: a Gaussian around its middle, or as nnU-Net places it (half a voxel off
    in windows of even size)."""
    resample: ResamplePlan = ResamplePlan()
    flips: list[int] = Field(default_factory=list)
    """Array axes over which mirrored predictions are averaged."""
    postprocess: Postprocess = Postprocess()
    temperature: float = Field(default=1.0, gt=0)
    """Divisor of the logits that calibrates probabilities."""
    predictor: Literal["student", "ema"] = "ema"
    """Which weights were delivered."""


class WeightsFile(StrictModel):
    """One weights file inside the folder."""

    file: str
    """File name without folders."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    dtype: str = "float32"


class MaskTokenFile(WeightsFile):
    """The file of the token that stands for hidden parts of an image inside the network."""

    before_position: bool = True
    """Whether it takes the place of the embedding before the position is added."""
    image_skips: bool = True
    """Whether the raw image that skips see is blanked as well."""


class Reference(StrictModel):
    """A model that this one came from or needs."""

    id: str
    sha256: str


class TrainingRecord(StrictModel):
    """Where the weights come from."""

    case_hashes: list[str] = Field(default_factory=list)
    """Hashes of the image files learnt from with labels."""
    voxel_hashes: list[str] = Field(default_factory=list)
    """Hashes of the same images' voxel values, which are the same in whatever file a scan is kept."""
    unlabelled_hashes: list[str] = Field(default_factory=list)
    """Hashes, of both kinds, of the images learnt from without labels."""
    inherited_hashes: list[str] = Field(default_factory=list)
    """Hashes, of both kinds, of the images that the parent and its parents learnt from."""
    shots: int = 0
    """Labels used, validation included."""
    unlabelled: int = 0
    """Scans used without labels."""
    seed: int = 0
    steps: int = 0
    minutes: float = 0.0
    metrics: dict[str, Any] = Field(default_factory=dict)
    """Scores on held-out cases, as evaluate writes them."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The method's configuration."""
    software: dict[str, str] = Field(default_factory=dict)
    """Versions."""


class ModelCard(StrictModel):
    """``model.json``."""

    schema_version: Literal[1] = 1
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    version: str = "1.0.0"
    title: str
    kind: Literal["segmentation", "encoder", "text_segmentation"] = "segmentation"
    method: str
    parent: Reference | None = None
    network: NetworkSpec
    input: InputSpec
    labels: list[dict[str, Any]]
    regions: list[list[int]] | None = None
    """For overlapping outputs: the label values each channel unites."""
    region_values: list[int] | None = None
    """The label value that each region paints, a later one over an earlier one; told from ``regions`` when None."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    allowed_flips: list[int] = Field(default_factory=list)
    flip_pairs: list[tuple[int, int]] = Field(default_factory=list)
    inference: InferenceSpec = InferenceSpec()
    plan: dict[str, str] = Field(default_factory=dict)
    """Hash of plan.json beside this file."""
    training: TrainingRecord = TrainingRecord()
    text_encoder: Reference | None = None
    license: str = "unspecified"
    weights: list[WeightsFile] = Field(default_factory=list)
    """More than one is an ensemble."""
    teacher_weights: WeightsFile | None = None
    mask_token: MaskTokenFile | None = None
    """Of the (first) network; without it voxels are hidden by zero."""

    @property
    def label_set(self) -> LabelSet:
        """The labels as objects."""
        return LabelSet.from_json(self.labels)

    @property
    def seen(self) -> frozenset[str]:
        """Hashes of every image that this model or one that it came from learnt from, with labels or without."""
        training = self.training
        own = (*training.case_hashes, *training.voxel_hashes, *training.unlabelled_hashes)
        return frozenset([*own, *training.inherited_hashes])

    @property
    def classes(self) -> int:
        """Output channels with background."""
        return len(self.labels) + 1
