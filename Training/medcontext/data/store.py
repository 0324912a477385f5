"""The case store: a folder of scans, labels and one ``dataset.json`` that anybody can open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from medcontext.data import writing
from medcontext.data.adding import NewCase, add
from medcontext.data.case import Case
from medcontext.data.decathlon import cases_of, channels_of, labels_of, read_index, read_splits
from medcontext.data.linking import Linked, link
from medcontext.data.reading import read_case_image, read_case_labels, read_grid, upright_hash, voxel_hash
from medcontext.data.removing import remove
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet


class CaseStore:
    """A case store or a plain Medical Segmentation Decathlon folder; :meth:`open` or :meth:`create` one.

    Attributes:
        folder: absolute path of the store.
        name: title of the data set.
        description: what it shows.
        cases: every case, training first, then test, then unlabelled.
        labels: what the label values mean.
        channels: the input channels as (name, modality).
        fewshot: case ids by number of shots, from ``splits.json``.
        kept_apart: hashes of the voxel values of images that no training may see, as far as they are known.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.reload()

    @classmethod
    def open(cls, folder: Path) -> CaseStore:
        """Open a store.

        Raises:
            InputError: the folder holds no valid ``dataset.json`` or lists a case twice.
        """
        return cls(folder)

    @classmethod
    def create(
        cls,
        folder: Path,
        labels: LabelSet,
        channels: Sequence[tuple[str, str]],
        *,
        name: str = "",
        description: str = "",
    ) -> CaseStore:
        """Start an empty store; ``channels`` are (name, modality).

        Raises:
            InputError: the folder already is a store or may not be written to.
        """
        folder = Path(folder).expanduser().absolute()
        writing.create(folder, labels, channels, name=name, description=description)
        return cls(folder)

    def reload(self) -> None:
        """Read ``dataset.json`` and ``splits.json`` again."""
        index, splits = read_index(self.folder), read_splits(self.folder)
        self.name, self.description = index.name, index.description
        self.labels: LabelSet = labels_of(index)
        self.channels: list[tuple[str, str]] = channels_of(index)
        self.cases: list[Case] = cases_of(index, splits, self.folder)
        self.fewshot: dict[str, list[str]] = splits.fewshot
        self.kept_apart: frozenset[str] = frozenset(index.held_out_voxels) | {
            case.voxels for case in self.cases if case.voxels and (case.held_out or case.split == "test")
        }

    def case(self, case_id: str) -> Case:
        """The case of that id.

        Raises:
            InputError: there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise InputError(f"{self.folder} holds no case '{case_id}'.", "See 'medcontext data list'.")

    def read_image(self, case: Case, reporter: Reporter | None = None) -> Volume:
        """The image ``(C, K, J, I)`` float32 in scanner units, as stored (not reoriented).

        Raises:
            InputError: a file is missing or broken, is 2D, holds voxels that are not finite, or the number of
                channels is not that of the store.
        """
        return read_case_image(case.images, self.channels, f"Case {case.id}", reporter)

    def read_labels(self, case: Case, like: Geometry | None = None) -> Volume:
        """The labelmap (1 channel, uint8) as stored, with 255 in every voxel that nobody annotated.

        Labels that ``case.annotated.labels`` does not list are unknown in the case: their voxels carry 0, and
        training merges the class into background.

        Args:
            case: a case with a label.
            like: grid of the image; read from its header when None.

        Raises:
            InputError: there is no label, it is broken, lies on another grid than the image, holds a
                value that the store does not declare, or its annotated region does not fit.
        """
        if case.label is None:
            raise InputError(f"Case {case.id} has no label.")
        like = like or read_grid(case.images)
        return read_case_labels(case.label, case.annotated, self.labels, f"Case {case.id}", like)

    def add_case(
        self,
        new: NewCase,
        *,
        labels: LabelSet | None = None,
        replacing: bool = False,
        reporter: Reporter | None = None,
    ) -> Case:
        """Add a case: files are checked and written first, ``dataset.json`` last and under a lock.

        Args:
            new: images, label and what is known about them.
            labels: structures to declare beside those that the store has.
            replacing: replace the case of that id; its old files are kept in ``replaced/``. Who it belongs to and
                that it is held out or a test case stays.
            reporter: told of stages and of what is odd; asked whether to stop.

        Raises:
            CaseTakenError: the image is in the store already.
            InputError: a file is broken or does not fit.
            CancelledError: someone asked to stop; the store is as it was.
            ResourceError: the disk is full; the store is as it was.
        """
        added = add(
            self.folder,
            new,
            channels=self.channels,
            labels=self.labels,
            more_labels=labels,
            replacing=replacing,
            reporter=reporter,
        )
        self.reload()
        return self.case(added.case_id)

    def link(self, paths: Sequence[Path], reporter: Reporter | None = None) -> Linked:
        """List scans without labels where they are: nothing is copied, and they are read when they are needed.

        Args:
            paths: image files, DICOM folders, or folders of either.
            reporter: told of the progress; asked whether to stop.

        Raises:
            InputError: the store may not be written to.
            CancelledError: someone asked to stop; nothing was added.
        """
        linked = link(self.folder, paths, self.channels, reporter or Reporter())
        self.reload()
        return linked

    def remove(self, case_ids: Iterable[str]) -> Path:
        """Take cases out of the store. Their files are moved to ``removed/``, linked images stay where they are.

        A case that was held out stays so if its image ever comes back.

        Returns:
            The folder that keeps the files and, in ``cases.json``, what was known of them.

        Raises:
            InputError: there is no such case or the store may not be written to.
        """
        wanted = [self.case(case_id) for case_id in dict.fromkeys(case_ids)]
        kept = remove(self.folder, [case.id for case in wanted], self._scored_voxels(wanted))
        self.reload()
        return kept

    def _scored_voxels(self, cases: Sequence[Case]) -> set[str]:
        """Voxel hashes of those that no training may see; of an image that cannot be read there is none."""
        found = set[str]()
        for case in cases:
            if case.held_out or case.split == "test":
                found |= {case.voxels} - {""}
                with suppress(InputError):
                    image = self.read_image(case)
                    voxels = case.voxels or voxel_hash(image)
                    found |= {voxels, upright_hash(image, voxels)}
        return found

    def hold_out(self, case_ids: Iterable[str]) -> None:
        """Keep cases for scoring, for good: no training will use them.

        Raises:
            InputError: there is no such case or the store may not be written to.
        """
        wanted = {self.case(case_id).id for case_id in case_ids}
        writing.hold_out(self.folder, wanted)
        self.reload()
