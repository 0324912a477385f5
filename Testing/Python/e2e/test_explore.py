"""From a slice on the screen to an annotated case: the panel, a real worker that learns, clicks, the case store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.missing import missing_for_gui

MISSING = missing_for_gui()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def test_proposed_regions_become_a_case(slicer_window: Callable[..., Any], tmp_path: Path) -> None:
    import slicer

    from harness import cases
    from harness.exploring import outcome, place, propose, showSample, status, view
    from harness.panel import segmentArrays, waitUntil

    panel = slicer_window()
    volume = showSample()
    panel.ui.exploreSection.collapsed = False
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    red.JumpSliceByOffsetting(*place(volume, 20, 20, 17))
    learnt = propose(panel).proposal
    assert learnt.method == "s3net"
    assert learnt.iterations > 0
    assert set(np.unique(learnt.regions)) == set(learnt.facts)
    assert sum(facts.share for facts in learnt.facts.values()) == pytest.approx(1)

    ui = panel.explore.ui
    ui.exploreMethodSelector.setCurrentIndex(ui.exploreMethodSelector.findData("superpixels"))
    proposed = propose(panel)
    assert proposed.proposal.method == "superpixels"
    assert status(panel).startswith(f"{len(proposed.numbers)} regions in ")
    regions = proposed.proposal.regions
    assert regions.shape == learnt.regions.shape
    ui.fillHolesCheckBox.checked = False
    ui.pickButton.click()
    _k, j, i = np.argwhere(regions == 2)[0]
    view("Red").click(place(volume, 20, j, i))
    assert outcome(panel) == "New segment: Region 2."
    expected = np.zeros(slicer.util.arrayFromVolume(volume).shape, bool)
    expected[20] = regions[0] == 2
    segmentation = panel.ui.segmentationSelector.currentNode()
    np.testing.assert_array_equal(segmentArrays(segmentation, volume)["Region 2"], expected)

    cases.newStore(tmp_path)
    cases.addCase(panel, cases.nothing)
    assert waitUntil(lambda: (tmp_path / "Hippocampus" / "dataset.json").is_file())
    (entry,) = cases.index(tmp_path / "Hippocampus")["training"]
    annotated = entry["annotated"]
    assert (annotated["region"], annotated["axis"], annotated["slices"]) == ("slices", "k", [20]), json.dumps(
        entry
    )
