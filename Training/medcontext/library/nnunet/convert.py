"""From the folder of an nnU-Net v2 to a model of ours: what its card says, and weights that fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import InferenceSpec, InputSpec, ModelCard
from medcontext.cards import IMPORTED
from medcontext.errors import InputError
from medcontext.library.folder import identifier
from medcontext.library.foreign import Foreign, settled_labels
from medcontext.library.import_options import STORED, ImportOptions
from medcontext.library.nnunet.channels import read_channels
from medcontext.library.nnunet.checkpoint import Fold, read_fold
from medcontext.library.nnunet.folder import (
    DATASET,
    PLANS,
    Training,
    choose_folds,
    find_training,
    ready_folds,
)
from medcontext.library.nnunet.labels import Outputs, read_outputs
from medcontext.library.nnunet.network import NETWORK, network_kwargs
from medcontext.library.nnunet.plans import Configuration, Dataset, Plans, read_configuration, read_object
from medcontext.library.nnunet.record import FORM, input_range, title_of, training_record
from medcontext.library.read import check_state
from medcontext.plan import NetworkSpec, ResamplePlan, Size, Spacing

if TYPE_CHECKING:
    from torch import Tensor

_REORIENTING = "NibabelIOWithReorient"
"""The reader of nnU-Net that turns every image to RAS first; the others take images as they are stored."""

_PICTURES = "NaturalImage2DIO"


def convert_nnunet(folder: Path, options: ImportOptions) -> Foreign:
    """One trained configuration of nnU-Net v2, several folds of it as an ensemble.

    Args:
        folder: a results folder, that of one data set, or that of one training.
        options: configuration, folds, checkpoint, orientation and labels may be chosen.

    Raises:
        InputError: files are missing, damaged or would run code; the configuration is a cascade; something is said
            that is not known here; or weights do not fit the plans.
    """
    training, names, notes = find_training(folder, options)
    folds, left_out = choose_folds(training, options)
    plans = Plans.parse(read_object(training.folder / PLANS), str(training.folder / PLANS))
    dataset = Dataset.parse(read_object(training.folder / DATASET), str(training.folder / DATASET))
    read = [read_fold(training.checkpoint(fold, options.checkpoint)) for fold in folds]
    name = _configuration(training, read)
    found = read_configuration(plans, name, training.folder / PLANS)
    outputs = read_outputs(dataset.labels, dataset.regions_class_order, str(training.folder / DATASET))
    network = _network(found, read, training)
    states = _fitting(network, len(found.normalization_schemes), outputs.channels, read)
    turned_to = _orientation(plans, dataset, options)
    told = () if options.orientation is not None else (_told_of_orientation(turned_to),)
    notes = (*notes, *left_out, *told, *_notes(plans, found, read))
    record, more = training_record(training, plans, name, folds, read, notes)
    facts = {
        "id": identifier(f"{plans.dataset_name}-{name}"),
        "title": title_of(plans, dataset, name),
        "method": IMPORTED,
        "network": network,
        "training": record,
        "license": (dataset.licence or dataset.license or "unspecified")[:500],
    }
    facts |= _input(training, plans, dataset, found, turned_to) | _output(found, outputs, read, options)
    return Foreign(
        FORM,
        ModelCard.parse(facts, str(training.folder)),
        states,
        (*notes, *more),
        choices={"configuration": names, "folds": ready_folds(training, options)},
        chosen={"configuration": [_called(training, names)], "folds": folds},
    )


def _called(training: Training, names: Sequence[str]) -> str:
    """The name of a training among the choices."""
    return training.configuration if training.configuration in names else training.folder.name


def _configuration(training: Training, folds: Sequence[Fold]) -> str:
    """Which configuration was trained: the checkpoint knows, whatever the folder is called now.

    Raises:
        InputError: the folds are of several.
    """
    names = sorted({fold.configuration for fold in folds if fold.configuration})
    if len(names) > 1:
        raise InputError(f"The folds of {training.folder} are of several configurations: {', '.join(names)}.")
    return names[0] if names else training.configuration


def _network(found: Configuration, folds: Sequence[Fold], training: Training) -> NetworkSpec:
    """The network of the plans, and whether it takes the patch.

    Raises:
        InputError: it is not known here, or does not.
    """
    from medcontext import networks

    batch_norm = any(fold.batch_norm for fold in folds)
    kwargs = network_kwargs(found, batch_norm, str(training.folder / PLANS))
    networks.check_patch(NETWORK, kwargs, _patch(found))
    return NetworkSpec(name=NETWORK, kwargs=kwargs)


def _fitting(
    spec: NetworkSpec, channels: int, outputs: int, folds: Sequence[Fold]
) -> list[dict[str, Tensor]]:
    """The weights of each fold by our names.

    The network they are compared with takes no memory, so that plans may claim any size.

    Raises:
        InputError: they do not fit; the sentence names the first tensors that do not.
    """
    import torch

    from medcontext import networks
    from medcontext.networks.nnunet import load_nnunet_state

    with torch.device("meta"):
        expected = networks.build(spec, channels, outputs).state_dict()
    states = []
    for fold in folds:
        state = load_nnunet_state(fold.weights)
        check_state(
            state,
            expected,
            f"The weights {fold.path} do not fit the network of the plans",
            "They were trained by other plans, or by a trainer with a network of its own.",
        )
        states.append(state)
    return states


def _input(
    training: Training, plans: Plans, dataset: Dataset, found: Configuration, orientation: str
) -> dict[str, Any]:
    """What the card says of images."""
    if sorted(plans.transpose_forward) != [0, 1, 2]:
        raise InputError(
            f"{training.folder / PLANS} transposes by {list(plans.transpose_forward)}, which is no order of axes."
        )
    source = str(training.folder / PLANS)
    names = dataset.channels(str(training.folder / DATASET))
    spec = InputSpec(
        dims=2 if len(found.patch_size) == 2 else 3,
        channels=read_channels(names, plans, found, source),
        spacing=_spacing(plans, found),
        orientation=orientation,
        transpose=plans.transpose_forward,
        crop_to_nonzero=True,
        patch_size=_patch(found),
        range=input_range(training, plans),
    )
    return {"input": spec}


def _orientation(plans: Plans, dataset: Dataset, options: ImportOptions) -> str:
    """What images are turned to: as a person said, or the data set, or the reader of the plans.

    Raises:
        InputError: the data set says what is no orientation.
    """
    if options.orientation is not None:
        return options.orientation
    if plans.image_reader_writer == _REORIENTING:
        return "RAS"
    return ImportOptions(orientation=dataset.image_orientation).orientation or STORED


def _output(
    found: Configuration, outputs: Outputs, folds: Sequence[Fold], options: ImportOptions
) -> dict[str, Any]:
    """What the card says of labels and of how they are computed.

    Predictions are averaged over the mirrored axes of the first fold, as nnU-Net's predictor does.
    """
    flips = folds[0].mirrored_axes(len(found.patch_size))
    resampling = found.resampling_fn_data_kwargs
    inference = InferenceSpec(
        overlap=0.5,
        window_weight="nnunet",
        flips=flips,
        predictor="student",
        resample=ResamplePlan(
            order=resampling.order,
            coarse_axis="fixed" if resampling.force_separate_z is False else "of_image",
            kept_axis=0 if len(found.patch_size) == 2 else None,
        ),
    )
    return {
        "labels": settled_labels(outputs.labels, options).to_json(),
        "regions": outputs.regions,
        "region_values": outputs.region_values,
        "activation": outputs.activation,
        "allowed_flips": flips,
        "inference": inference,
    }


def _told_of_orientation(orientation: str) -> str:
    """What happens to images, for a person who did not choose it."""
    if orientation != STORED:
        return f"Images are turned to {orientation} first, the orientation of the training images."
    return (
        "Images are taken as they are stored, as nnU-Net does: their axes must lie as those of its training images. "
        "Where these all had one orientation, say which at the import, and images are turned to it."
    )


def _notes(plans: Plans, found: Configuration, folds: Sequence[Fold]) -> list[str]:
    """What a person should know besides."""
    notes = []
    if plans.image_reader_writer == _PICTURES:
        notes.append("It was trained on pictures; here it takes the slices of a scan.")
    if any(fold.batch_norm for fold in folds) and "BatchNorm" not in str(
        found.architecture.arch_kwargs.get("norm_op")
    ):
        notes.append("The weights have batch norm, unlike the plans: their trainer put it in.")
    return notes


def _patch(found: Configuration) -> Size:
    """``(K, J, I)``; slices are one voxel thick."""
    k, j, i = (1, *found.patch_size)[-3:]
    return k, j, i


def _spacing(plans: Plans, found: Configuration) -> Spacing:
    """mm along ``(K, J, I)``; slices keep their distance, of which the median is told."""
    k, j, i = (plans.original_median_spacing_after_transp[0], *found.spacing)[-3:]
    return k, j, i
