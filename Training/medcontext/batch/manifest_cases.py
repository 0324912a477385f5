"""The cases that a manifest names: each row is one, also where its files are missing or cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medcontext.batch.case import BatchCase, is_there
from medcontext.batch.dicom_cases import blamed, series_case, series_names
from medcontext.batch.dicom_series import FoundSeries, Search, search_series
from medcontext.batch.identifiers import Names, private_strings, safe_id
from medcontext.batch.image_cases import Named
from medcontext.batch.manifest import ManifestRow, read_manifest
from medcontext.batch.walk import NO_TEXT, SEGMENTATION, Walk, absolute
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.dicom_folder import dicom_files, has_text_name, looks_like_dicom, printable
from medcontext.io.names import FORMATS, case_id, format_of


def manifest_cases(
    manifest: Path, card: ModelCard, output: Path, keep_identifiers: bool, reporter: Reporter
) -> list[Named]:
    """One case for each row, in their order, still without ids.

    Raises:
        InputError: the manifest is broken, or two rows have the same id.
    """
    rows = read_manifest(manifest, [channel.name for channel in card.input.channels])
    _check_ids(rows, manifest, reporter)
    modalities = [channel.modality for channel in card.input.channels]
    search = _Search(output, reporter)
    named: list[Named] = []
    for number, row in enumerate(rows):
        reporter.check_cancelled()
        reporter.progress("searching", number / len(rows))
        channels = [search.channel(path) for path in row.paths]
        case = _case(row, channels, modalities, keep_identifiers)
        given = safe_id(row.id) if row.id else ""
        named.append(Named(_names(row, channels[0], keep_identifiers), case, given, row.place))
    reporter.progress("searching", 1)
    return named


def _check_ids(rows: Sequence[ManifestRow], manifest: Path, reporter: Reporter) -> None:
    """Refuse ids that two rows share; tell of those that no file can be called."""
    first: dict[str, ManifestRow] = {}
    changed = []
    for row in rows:
        if not row.id:
            continue
        other = first.setdefault(safe_id(row.id).casefold(), row)
        if other is not row:
            raise InputError(
                f"{manifest}: {other.place} and {row.place} would both be called '{safe_id(row.id)}'.",
                "Give each case an id of its own; letter case and signs such as / do not tell them apart.",
            )
        if safe_id(row.id) != row.id:
            changed.append(f"'{row.id}' is '{safe_id(row.id)}'")
    if changed:
        more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
        reporter.info(f"Ids were changed to be fit for file names: {', '.join(changed[:3])}{more}.")


@dataclass(frozen=True)
class _Channel:
    """What lies at a path of a manifest: an image file, or a DICOM series; or why neither."""

    path: Path
    series: FoundSeries | None = None
    damaged: tuple[Path, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class _Folder:
    """What the DICOM files of a folder are; and why a part of it could not be searched, or nothing."""

    series: tuple[FoundSeries, ...]
    holders: dict[Path, FoundSeries]
    damaged: dict[FoundSeries, list[Path]]
    lost: str = ""

    @classmethod
    def of(cls, search: Search, lost: str = "") -> _Folder:
        holders = {file: series for series in search.series for file in (*series.files, *series.copies)}
        return cls(search.series, holders, blamed(search)[0], lost)

    def channel(self, path: Path, series: FoundSeries) -> _Channel:
        return _Channel(path, series, tuple(self.damaged.get(series, ())))


class _Search:
    """Looks at paths; the headers of a folder are read once, however many rows name it."""

    def __init__(self, output: Path, reporter: Reporter) -> None:
        self._output = output
        self._reporter = reporter.silent()
        self._found: dict[tuple[Path, bool], _Folder] = {}

    def channel(self, path: Path) -> _Channel:
        try:
            path = absolute(path)
            return self._look(path)
        except OSError as error:
            return _Channel(path, trouble=f"It cannot be read: {error.strerror or error}.")
        except ValueError:  # as of a zero byte
            return _Channel(path, trouble="It has a name that no file can have.")

    def _look(self, path: Path) -> _Channel:
        if not has_text_name(path):
            return _Channel(path, trouble=NO_TEXT)
        if not path.exists():
            return _Channel(path, trouble="It does not exist.")
        if path.is_dir():
            return self._in_folder(path)
        if path.name.lower().endswith(SEGMENTATION):
            return _Channel(path, trouble="It is a segmentation, not an image.")
        if format_of(path):
            return _Channel(path)
        if looks_like_dicom(path):
            return self._of_file(path)
        return _Channel(path, trouble=f"It is not an image that can be read; allowed are {FORMATS}.")

    def _in_folder(self, folder: Path) -> _Channel:
        held = self._searched(folder, below=True)
        if held.lost:
            return _Channel(folder, trouble=f"A part of it could not be searched. {held.lost}")
        scans = [series for series in held.series if not series.reason]
        # Who names a folder that holds a localiser and nothing else wants it.
        scans = scans or [series for series in held.series if series.is_named_scan]
        if len(scans) != 1:
            count = str(len(scans)) if scans else "no"
            return _Channel(
                folder, trouble=f"The folder holds {count} DICOM series that are volumes; one is needed."
            )
        return held.channel(folder, scans[0])

    def _of_file(self, path: Path) -> _Channel:
        held = self._searched(path.parent, below=False)
        series = held.holders.get(path)
        if series is None:
            return _Channel(path, trouble="It is damaged, or holds no picture.")
        if series.reason and not series.is_named_scan:
            return _Channel(path, trouble=series.reason)
        return held.channel(path, series)

    def _searched(self, folder: Path, below: bool) -> _Folder:
        if (folder, below) not in self._found:
            lost = ""
            if below:
                walk = Walk(self._output, self._reporter)
                walk.search(folder)
                files = sorted(placed.path for placed in walk.tree.dicom)
                lost = next((entry.reason for entry in walk.tree.skipped if entry.lost), "")
            else:
                files = dicom_files(folder)
            self._found[folder, below] = _Folder.of(search_series(files, self._reporter), lost)
        return self._found[folder, below]


def _case(
    row: ManifestRow, channels: Sequence[_Channel], modalities: Sequence[str], keep_identifiers: bool
) -> BatchCase:
    """The case of a row, still without a name."""
    # One path may hold all channels.
    each = [modalities] if len(channels) == 1 else [[modality] for modality in modalities]
    dicom = [
        None if channel.series is None
        else series_case(channel.series, _root(channel), keep_identifiers, channel.damaged, learnt)
        for channel, learnt in zip(channels, each, strict=True)
    ]  # fmt: skip
    found = [case for case in dicom if case is not None]
    series = tuple(() if case is None else case.series for case in dicom)
    private = [text for case in found for text in case.private]
    if private:
        beside = [path.parent for path in (row.reference, _file(row.roi)) if path is not None]
        private += private_strings((), (), beside, row.folder)
    return BatchCase(
        id="",
        paths=tuple(channel.path for channel in channels),
        series=series[0],
        more_series=series[1:] if any(series) else (),
        roi=row.roi,
        reference=row.reference,
        text=row.text,
        private=tuple(dict.fromkeys(private)),
        trouble=_trouble(row, channels, found),
        remarks=tuple(dict.fromkeys(remark for case in found for remark in case.remarks)),
    )


def _root(channel: _Channel) -> Path:
    return channel.path if channel.path.is_dir() else channel.path.parent


def _trouble(row: ManifestRow, channels: Sequence[_Channel], dicom: Iterable[BatchCase]) -> str:
    """Why the case of a row cannot be read; empty where it may be."""
    for number, channel in enumerate(channels, start=1):
        if channel.trouble:
            which = "The image" if len(channels) == 1 else f"Channel {number}"
            # Names of image files are also names of results; those of DICOM files may say whose they are.
            name = f" ({printable(channel.path.name)})" if format_of(channel.path) else ""
            return f"{which} named in {row.place} of the manifest{name} cannot be used. {channel.trouble}"
    for what, path in (("reference", row.reference), ("region", _file(row.roi))):
        if path is None:
            continue
        # Those of DICOM cases may say whose they are.
        name = "" if any(channel.series for channel in channels) else f" ({printable(path.name)})"
        if not has_text_name(path):
            return f"The {what} file named in {row.place} of the manifest{name} cannot be used. {NO_TEXT}"
        if not is_there(path):
            return f"The {what} file named in {row.place} of the manifest{name} does not exist."
    return next((case.trouble for case in dicom if case.trouble), "")


def _file(roi: str | None) -> Path | None:
    return Path(roi) if roi is not None and Path(roi).is_absolute() else None


def _names(row: ManifestRow, channel: _Channel, keep_identifiers: bool) -> Names:
    """What the case of a row without an id may be called."""
    if channel.series is not None:
        names = series_names(channel.series, keep_identifiers)
        return Names(names.wishes, f"{names.key} {row.place}", names.content)
    if not format_of(channel.path) and not keep_identifiers:
        return Names((row.place,), row.place)
    name = case_id(channel.path)
    return Names((name, f"{channel.path.parent.name}_{name}"), f"{channel.path} {row.place}")
