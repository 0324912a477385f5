"""What nnU-Net does otherwise with a model of ours, and the README that says so."""

from __future__ import annotations

from collections.abc import Sequence

from medcontext.card_schema import ModelCard
from medcontext.data.augment.mirror import left_right_axis
from medcontext.library.nnunet.export_plans import REORIENTED
from medcontext.plan import STORED


def mirrored_axes(card: ModelCard) -> list[int]:
    """The axes of the network's grid that nnU-Net shall mirror: it cannot swap left and right structures."""
    spec = card.input
    side = left_right_axis(spec.orientation, spec.transpose) if card.flip_pairs else None
    return [axis for axis in card.inference.flips if axis != side]


def differences(card: ModelCard, widened: Sequence[int]) -> tuple[str, ...]:
    """What is not as in ``medcontext segment``, in sentences; none where all of it is.

    Args:
        card: the model.
        widened: stages whose kernels were widened.
    """
    return (*_of_images(card), *_of_grey_values(card), *_of_prediction(card, widened), *_of_labels(card))


def _of_images(card: ModelCard) -> list[str]:
    spec, sentences = card.input, []
    if spec.orientation not in (STORED, REORIENTED):
        sentences.append(
            f"Images must be stored in the orientation {spec.orientation}: nnU-Net does not turn them. "
            f"SimpleITK.DICOMOrient(image, '{spec.orientation}') does."
        )
    if not spec.crop_to_nonzero:
        sentences.append("Where an image has a border of zeros, nnU-Net cuts it off first.")
    resample = card.inference.resample
    if resample.coarse_axis == "fixed":
        sentences.append("Images whose spacing is within 1 % of the model's are resampled too.")
        if resample.separate_z is not None:
            sentences.append(
                "Which axis is coarse, nnU-Net finds in each image: it has to be 3 times as coarse."
            )
    return sentences


def _of_grey_values(card: ModelCard) -> list[str]:
    names = [
        f"{channel.name} ({low:g} and {high:g} %)"
        for channel in card.input.channels
        for low, high in [channel.intensity.percentiles]
        if channel.intensity.kind in ("zscore", "rescale") and (low, high) != (0, 100)
    ]
    if not names:
        return []
    return [f"Grey values are not clipped at their percentiles before they are scaled: {', '.join(names)}."]


def _of_prediction(card: ModelCard, widened: Sequence[int]) -> list[str]:
    spec, sentences = card.inference, []
    if spec.overlap != 0.5:
        sentences.append(
            f"Windows overlap by half unless nnU-Net is called with -step_size {1 - spec.overlap:g}."
        )
    if spec.window_weight != "nnunet":
        sentences.append("Where windows overlap, their weights lie half a voxel otherwise.")
    if mirrored_axes(card) != spec.flips:
        sentences.append(
            "Predictions are not averaged over left and right: nnU-Net cannot swap structures of the two sides."
        )
    if spec.postprocess.largest_component:
        values = ", ".join(map(str, spec.postprocess.largest_component))
        sentences.append(f"Small pieces are kept; MedContext keeps only the largest of the labels {values}.")
    if spec.temperature != 1:
        sentences.append(
            f"Probabilities are not calibrated: MedContext divides the logits by {spec.temperature:g}."
        )
    if widened:
        stages = ", ".join(str(stage + 1) for stage in widened)
        sentences.append(
            f"Kernels of stage {stages} were widened with zeros: the same result, a little slower."
        )
    return sentences


def _of_labels(card: ModelCard) -> list[str]:
    labels = card.label_set
    sentences = []
    if card.activation == "softmax" and list(labels.values) != list(range(1, len(labels) + 1)):
        pairs = ", ".join(
            f"{label.value} becomes {n} ({label.name})" for n, label in enumerate(labels, start=1)
        )
        sentences.append(f"nnU-Net counts labels 1, 2, 3, ...: {pairs}.")
    return [*sentences, "Colours and standard codes of the labels stay behind."]


def export_readme(card: ModelCard, sentences: Sequence[str]) -> str:
    """How to run the folder, and what is different; the model's own card is to follow."""
    several = len(card.input.channels) > 1
    names = ", ".join(f"`_{index:04d}` {c.name}" for index, c in enumerate(card.input.channels))
    images = "one file a channel" if several else "one file each"
    folds = " ".join(str(fold) for fold in range(len(card.weights)))
    return (
        f"# {card.title} for nnU-Net v2\n\n"
        "Segment every image of a folder (needs `nnunetv2`, version 2.4 or newer):\n\n"
        f"```\nnnUNetv2_predict_from_modelfolder -i IMAGES -o OUT -m . -f {folds}\n```\n\n"
        f"Images are `case_0000.nii.gz`, {images} ({names}). From Python:\n\n"
        "```\npredictor = nnUNetPredictor()\n"
        'predictor.initialize_from_trained_model_folder("THIS FOLDER", use_folds=None)\n```\n\n'
        "What nnU-Net does differently from `medcontext segment`:\n\n"
        + "\n".join(f"- {sentence}" for sentence in sentences)
        + "\n\nThe model's own card follows.\n\n---\n\n"
    )
