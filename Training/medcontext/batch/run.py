"""The door of a batch: what is wrong is said first, what is finished is kept, the rest is worked on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medcontext.batch import rows
from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.exports import check_formats, targets, without_dicom_seg
from medcontext.batch.find import find_cases
from medcontext.batch.fit import check_division, check_fit, check_same, read_model_card
from medcontext.batch.layout import open_output
from medcontext.batch.options import BatchOptions
from medcontext.batch.outcomes import Outcomes
from medcontext.batch.record import (
    RunRecord,
    planned_as_before,
    read_record,
    told_inputs,
    write_record,
)
from medcontext.batch.resume import Earlier, look_back, sweep
from medcontext.batch.shard import cases_of, refuse_overlap
from medcontext.batch.voice import shared
from medcontext.batch_ledger import SKIPPED, Layout, LedgerWriter, read_rows, write_csv
from medcontext.card_schema import ModelCard
from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError
from medcontext.events import Reporter

Control = Callable[[], str | None]

_GO_ON = "Start the same command again: it goes on with the rest."


@dataclass(frozen=True)
class BatchSummary:
    """What became of a run.

    Attributes:
        done: cases finished by this run.
        reused: cases that an earlier run had finished.
        failed: cases that failed.
        skipped: what was found but is no case.
        left: unfinished cases beyond the limit.
        seconds: wall time.
        ledger: the table with a row for each case.
        report: the page with a picture of each case.
    """

    done: int
    reused: int
    failed: int
    skipped: int
    left: int
    seconds: float
    ledger: Path
    report: Path


def run_batch(
    inputs: Path | str | Sequence[Path | str],
    output: Path,
    options: BatchOptions,
    reporter: Reporter | None = None,
    control: Control = lambda: None,
) -> BatchSummary:
    """Segment many scans; the same call again finishes what an earlier one left.

    Args:
        inputs: folders, globs, files or a manifest.
        output: folder of the results, see docs/batch.md.
        options: model, formats and everything else.
        reporter: told of progress and of each case.
        control: asked for "stop", "pause" or None.

    Raises:
        InputError: model, options, inputs or the output folder cannot be used; nothing was computed.
        CancelledError: someone asked to stop; what was finished is kept, table and report are written.
        ResourceError: the disk of the output folder is full; likewise.
    """
    began = time.monotonic()
    reporter = shared(reporter or Reporter())
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    # Before torch is asked for anything: a wrong path should not cost ten seconds.
    check_division(options)
    card = read_model_card(options.model)
    check_formats(options.formats)
    layout = open_output(Path(output))
    options = planned_as_before(layout, options)
    asked = reporter.stopped_by(lambda: control() == "stop")
    found, skipped = find_cases(
        given,
        card,
        output=layout.root,
        keep_identifiers=options.keep_identifiers,
        reporter=asked,
        overwrite=options.overwrite,
    )
    cases = cases_of(found, options.shard)
    check_fit(cases, card)
    with LedgerWriter(layout.ledger(options.shard), warn=reporter.warning) as writer:
        refuse_overlap(layout, options.shard)
        run = _Run(
            given,
            told_inputs(given, found, skipped, options),
            cases,
            card,
            layout,
            options,
            writer,
            reporter,
            control,
        )
        run.prepare(skipped)
        with run.finishing():
            run.work()
    return BatchSummary(
        done=run.outcomes.done,
        reused=len(run.earlier.done),
        failed=run.outcomes.failed,
        skipped=len(skipped),
        left=run.left,
        seconds=round(time.monotonic() - began, 1),
        ledger=layout.table,
        report=layout.report,
    )


class _Run:
    """A run from what was found to its summary."""

    def __init__(
        self,
        given: Sequence[Path | str],
        told: Sequence[str],
        cases: Sequence[BatchCase],
        card: ModelCard,
        layout: Layout,
        options: BatchOptions,
        writer: LedgerWriter,
        reporter: Reporter,
        control: Control,
    ) -> None:
        self._given, self._cases, self._card, self._layout = given, cases, card, layout
        self._options, self._writer, self._reporter, self._control = options, writer, reporter, control
        self.left = 0
        self._targets = {case.id: self._places(case) for case in cases}
        self._ledger = read_rows(layout.root)
        before = read_record(layout, card, options)
        check_same(before, cases, card, options, self._ledger, layout)
        self.record = RunRecord.begin(told, card, options, before)
        self.earlier = Earlier()
        self.outcomes = Outcomes(writer, layout, {}, self.earlier, self._targets, reporter, 0)

    def _places(self, case: BatchCase) -> list[Path]:
        options = self._options
        found = targets(self._layout, case, self._card, options.formats, options.certainty_map)
        return [path for paths in found.values() for path in paths]

    def prepare(self, skipped: Sequence[Skipped]) -> None:
        """Look at what is done, say what will be done, and write down what this run is.

        Raises:
            InputError: the output folder cannot be written.
            ResourceError: its disk is full.
        """
        options, layout = self._options, self._layout
        self.earlier = look_back(
            self._cases,
            self._ledger,
            self._targets,
            layout,
            options,
            self.record.model.identity,
            self._reporter,
            self.record.overwriting,
        )
        names = {path.name for paths in self._targets.values() for path in paths}
        names |= {layout.thumbnail(case.id).name for case in self._cases}
        sweep(layout, names, alone=options.shard is None)
        write_record(self.record, layout, options)
        self._skip(skipped)
        refused = self.earlier.refused(layout, options.overwrite)
        todo = [case for case in self.earlier.todo if case.id not in refused]
        self._todo = todo[: options.limit]
        self.left = len(todo) - len(self._todo)
        self.outcomes = Outcomes(
            self._writer,
            layout,
            self._ledger,
            self.earlier,
            self._targets,
            self._reporter,
            len(self._todo) + len(refused),
            self.record.overwriting,
        )
        self._say()
        self.outcomes.begin()
        self._refresh_texts()
        for case in self.earlier.todo:
            if case.id in refused:
                self._refuse(case, refused[case.id])

    def _skip(self, skipped: Sequence[Skipped]) -> None:
        for entry in skipped:
            row = rows.skipped(entry.place, entry.reason, self._options.shard_name)
            known = self._ledger.get(entry.place)
            if known is None or known["state"] != SKIPPED or known.get("error") != row["error"]:
                self._writer.append({**row, "sequence": rows.sequence(known) + 1})
            self._reporter.emit("case", case=entry.place, status="skipped", message=entry.reason)

    def _refresh_texts(self) -> None:
        """Texts of a manifest change no result: rows of finished cases get them as they are now."""
        done = set(self.earlier.done)
        for case in self._cases:
            row = self._ledger.get(case.id, {})
            if case.id in done and row.get("text", "") != case.text:
                self._writer.append({**row, "text": case.text, "sequence": rows.sequence(row) + 1})

    def _refuse(self, case: BatchCase, reason: MedContextError) -> None:
        row = rows.running(case, self._options, self.record.model.identity)
        foreign = self.earlier.foreign.get(case.id, [])
        ours = [path for path in self._targets[case.id] if path.exists() and path not in foreign]
        facts = {"left": rows.file_facts(self._layout, ours), "warnings": []}
        self.outcomes.append(rows.failed(row, case, reason, facts))

    def _say(self) -> None:
        options, earlier, tell = self._options, self.earlier, self._reporter
        if options.overwrite:
            files = sum(len(paths) for paths in earlier.foreign.values())
            tell.info(
                f"--overwrite: finished cases that are computed anew: {len(earlier.again)}; files that were changed "
                f"since, or that this batch did not write, and are replaced: {files}."
            )
        for case in earlier.done:
            tell.emit("case", case=case, status="reused")
        part = "" if options.shard is None else f" (part {options.shard[0]} of {options.shard[1]})"
        left = "" if not self.left else f" ({len(self._todo)} of them now)"
        tell.info(
            f"Cases{part}: {len(self._cases)}; finished: {len(earlier.done)}; to do: {len(earlier.todo)}{left}."
        )
        if any(case.text for case in self._cases) and self._card.text_encoder is None:
            tell.warning(
                "This model reads no text: the text of the cases is kept in the ledger and not used."
            )
        if lacking := without_dicom_seg(self._todo, options.formats):
            named = ", ".join(case.id for case in lacking[:3]) + (", ..." if len(lacking) > 3 else "")
            tell.warning(f"Cases that are no DICOM and can have no DICOM SEG: {len(lacking)} ({named}).")

    def work(self) -> None:
        """Do what is to do."""
        if self._todo:
            # Threads of torch wait for each other by counting unless told before it is loaded. Beside threads that
            # read and write that took six times the processor time and five times as long on two busy cores.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            from medcontext.batch.start import Engine

            engine = Engine(self._options, self._layout, self.outcomes, self._reporter, self._control)
            engine.work(self._todo, self.record, self.earlier.suspects)
        if not self.left:
            now = read_record(self._layout, self._card, self._options) or self.record
            write_record(now.at_its_end(), self._layout, self._options)

    @contextlib.contextmanager
    def finishing(self) -> Iterator[None]:
        """However the run ends, table and report tell what is done.

        Raises:
            CancelledError, ResourceError: with how many cases are finished.
        """
        try:
            yield
        except KeyboardInterrupt:  # there is no time to wait for the threads
            self._give_back(idle=False)
            raise
        except Exception as error:
            # Workers on other machines may be writing still.
            self._give_back(idle=(self._options.cluster or "local").startswith("local"))
            with contextlib.suppress(ResourceError):  # the error that led here matters more
                self._write_summary()
            raise self._explained(error) from error
        self._write_summary()

    def _give_back(self, idle: bool) -> None:
        with contextlib.suppress(InputError, ResourceError):  # the error that led here matters more
            self.outcomes.give_back(idle)

    def _write_summary(self) -> None:
        from medcontext.batch.report import write_report

        for write in (write_csv, write_report):
            try:
                write(self._layout.root)
            except InputError as error:  # a spreadsheet may have it open; the results are there
                self._reporter.warning(f"{error.message} The same command writes it.")

    def _explained(self, error: Exception) -> Exception:
        count = len(self.earlier.done) + self.outcomes.done
        state = f"{count} of {len(self._cases)} cases finished."
        if isinstance(error, CancelledError):
            return CancelledError(f"Stopped on request: {state}", _GO_ON)
        if isinstance(error, ResourceError):
            return ResourceError(f"{error.message} {state}", f"{error.hint} {_GO_ON}".strip())
        return error
