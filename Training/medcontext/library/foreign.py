"""A model of another program in the words of ours, before it is in the library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.labels import LabelSet
from medcontext.library.anatomy import propose_labels
from medcontext.library.import_options import ImportOptions

if TYPE_CHECKING:
    from torch import Tensor

    from medcontext.networks.encoder import TransferReport


@dataclass(frozen=True)
class Foreign:
    """What was found in a file or folder of another program, checked: its weights fit the network of the card.

    Attributes:
        form: "nnU-Net v2", "MONAI bundle", ..., for people.
        card: a whole card but for ``weights``; its id and title are proposals.
        states: tensors by the names of our network, as :func:`medcontext.library.save_model` takes them; several are
            an ensemble. They may lie in the file still: it must stay while they are used.
        notes: sentences on what was chosen, is not the same here, or was left out.
        choices: what there was to choose from, by option: ``{"configuration": [...], "folds": [...]}``.
        chosen: what was taken of it, likewise.
        report: of weights alone, which of their tensors fitted; None where all must.
    """

    form: str
    card: ModelCard
    states: list[dict[str, Tensor]]
    notes: tuple[str, ...] = ()
    choices: dict[str, list[str]] = field(default_factory=dict)
    chosen: dict[str, list[str]] = field(default_factory=dict)
    report: TransferReport | None = None


def settled_labels(found: LabelSet, options: ImportOptions) -> LabelSet:
    """The labels a model gets: what the person says, else what the source says, else colours and codes by name.

    Raises:
        InputError: the person speaks of a value that the model does not have, or names two labels alike.
    """
    found = propose_labels(found)
    if options.labels is None:
        return found
    unknown = [label.value for label in options.labels if label.value not in found.values]
    if unknown:
        raise InputError(
            f"The model has no label {', '.join(map(str, unknown))}.",
            f"Its labels are {', '.join(f'{label.value} {label.name}' for label in found)}.",
        )
    said = {label.value: label for label in options.labels}
    return LabelSet(tuple(said.get(label.value, label) for label in found))
