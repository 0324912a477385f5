"""All frames of a volume sequence, one after another, into a sequence of segmentations beside it.

A frame is segmented in hidden nodes of its own, so that the slider of the sequence stays where the person put it
and may be moved meanwhile::

    with FrameRuns(volumeNodes, segmentationNode=None) as frames:
        for frame in frames:
            logic.segment(list(frame.volumes), modelId, frame.segmentation)
            frames.store(frame)
        segmentationNode = frames.finish()

A panel that must not wait calls :meth:`FrameRuns.begin`, starts its run with the frame's nodes and calls
:meth:`FrameRuns.store` or :meth:`FrameRuns.discard` when that ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Scene.SegmentationTarget import placeBeside


def browserOf(node: Any) -> Any:
    """The ``vtkMRMLSequenceBrowserNode`` that moves ``node`` through a sequence; None where there is none."""
    if node is None or node.GetScene() is None or not hasattr(slicer.modules, "sequences"):
        return None
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(node)
    return browser if browser is not None and browser.GetSequenceNode(node) is not None else None


def isSequence(node: Any) -> bool:
    """Whether ``node`` shows one frame of a sequence that has several."""
    return frameCount(node) > 1


def frameCount(node: Any) -> int:
    """Number of frames of the sequence that ``node`` shows one of; 0 where it belongs to none."""
    browser = browserOf(node)
    return int(browser.GetSequenceNode(node).GetNumberOfDataNodes()) if browser is not None else 0


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame, ready to be segmented.

    Attributes:
        index: its number, from 0.
        text: how a person would name it, such as ``time = 1.5 s``.
        volumes: hidden volume nodes, one for each input channel.
        segmentation: hidden segmentation node to write into; it holds what the frame held before.
    """

    index: int
    text: str
    volumes: tuple[Any, ...]
    segmentation: Any


class FrameRuns:
    """Gives the frames of a sequence to be segmented and collects what was made of them.

    Args:
        volumeNodes: one for each input channel. The first is the proxy node of a sequence and says which frames
            there are; the others are proxies in the same browser (taken at the same index value) or plain volumes
            (used for every frame).
        segmentationNode: the proxy of an earlier result in the same browser, to be updated; None for a new one.
        name: of the new segmentation; made from the volume's when empty.

    Raises:
        InputError: the first volume is no frame of a sequence, or the segmentation does not belong to its browser.
    """

    def __init__(self, volumeNodes: Sequence[Any], segmentationNode: Any = None, name: str = "") -> None:
        self._volumes = tuple(volumeNodes)
        self._browser: Any = browserOf(self._volumes[0]) if self._volumes else None
        if self._browser is None:
            raise InputError(
                _("The volume does not belong to a sequence."),
                _("Choose a volume that a sequence browser shows."),
            )
        self._source = self._browser.GetSequenceNode(self._volumes[0])
        self._proxy = segmentationNode
        self._target = self._browser.GetSequenceNode(segmentationNode) if segmentationNode else None
        if segmentationNode is not None and self._target is None:
            raise InputError(
                _(
                    "The segmentation '{name}' cannot hold all frames: it does not follow the sequence."
                ).format(name=segmentationNode.GetName()),
                _("Choose a new segmentation, or segment the current frame only."),
            )
        self._name = name or _("{volume} segmentation").format(volume=_baseName(self._volumes[0]))
        self._hidden: dict[int, list[Any]] = {}
        self._underTransform = True
        self._stored = 0

    def __len__(self) -> int:
        return int(self._source.GetNumberOfDataNodes())

    @property
    def currentIndex(self) -> int:
        """The frame that the browser shows now."""
        master = self._browser.GetMasterSequenceNode()
        value = master.GetNthIndexValue(max(0, self._browser.GetSelectedItemNumber()))
        return max(0, int(self._source.GetItemNumberFromIndexValue(value, False)))

    @property
    def stored(self) -> int:
        """Number of frames stored so far."""
        return self._stored

    def __iter__(self) -> Iterator[Frame]:
        for index in range(len(self)):
            yield self.begin(index)

    def begin(self, index: int) -> Frame:
        """The frame of that number, in nodes of its own that live until :meth:`store` or :meth:`discard`.

        Raises:
            InputError: the sequence or its browser was removed, or another channel lacks the frame.
        """
        self._checkAlive()
        value = self._source.GetNthIndexValue(index)
        hidden: list[Any] = []
        self._hidden[index] = hidden
        volumes = tuple(self._copyAt(node, value, hidden) for node in self._volumes)
        segmentation = self._segmentationAt(value, volumes[0], hidden)
        return Frame(index, self._text(value), volumes, segmentation)

    def nodeAt(self, frame: Frame, node: Any) -> Any:
        """Another node as it is in a frame; itself where it does not follow the sequence.

        Raises:
            InputError: it has no such frame.
        """
        return self._copyAt(node, self._source.GetNthIndexValue(frame.index), self._hidden[frame.index])

    def store(self, frame: Frame) -> None:
        """Keep what is in the frame's segmentation and remove its hidden nodes.

        Raises:
            InputError: the sequence or its browser was removed meanwhile.
        """
        self._checkAlive()
        segmentation, volume = frame.segmentation, frame.volumes[0]
        if volume.GetScene() is not None:
            self._underTransform = segmentation.GetTransformNodeID() == volume.GetTransformNodeID()
        # What the segmentation refers to must outlive the hidden nodes.
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        segmentation.SetNodeReferenceID(role, self._volumes[0].GetID())
        segmentation.SetName(self._name)
        self._targetSequence().SetDataNodeAtValue(segmentation, self._source.GetNthIndexValue(frame.index))
        self._stored += 1
        self.discard(frame)

    def discard(self, frame: Frame) -> None:
        """Remove the frame's hidden nodes and what was written into them."""
        for node in reversed(self._hidden.pop(frame.index, [])):
            if node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)

    def finish(self) -> Any:
        """Show the frames stored so far: a segmentation that follows the sequence and keeps corrections.

        Frames that were not stored are empty in it. To be called after a cancelled run too.

        Returns:
            The ``vtkMRMLSegmentationNode`` (proxy node); None when nothing was stored.

        Raises:
            InputError: the sequence or its browser was removed meanwhile.
        """
        self._checkAlive()
        if self._proxy is None and self._stored:
            self._proxy = self._addProxy(self._targetSequence())
        return self._proxy

    def close(self) -> None:
        """Remove what is hidden, and a sequence that was never finished. Never raises."""
        for index in list(self._hidden):
            self.discard(Frame(index, "", (), None))
        if self._proxy is None and self._target is not None and self._target.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(self._target)
        self._target = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checkAlive(self) -> None:
        alive = [self._browser, self._source, *self._volumes, *filter(None, (self._target, self._proxy))]
        if any(node.GetScene() is None for node in alive):
            raise InputError(_("The sequence was removed during the run."), _("Load it again."))

    def _text(self, value: str) -> str:
        name, unit = self._source.GetIndexName(), self._source.GetIndexUnit()
        return f"{name} = {value} {unit}".strip() if name else value

    def _copyAt(self, node: Any, value: str, hidden: list[Any]) -> Any:
        sequence = self._browser.GetSequenceNode(node)
        if sequence is None:
            return node
        data = sequence.GetDataNodeAtValue(value, True)
        if data is None:
            raise InputError(
                _("'{name}' has no frame at {frame}.").format(name=_baseName(node), frame=self._text(value)),
                _("Choose what has the same frames as the image."),
            )
        copy = _addHidden(data.GetClassName(), _baseName(node), hidden)
        # Not deep: the voxels are the sequence's own.
        copy.CopyContent(data, not data.IsA("vtkMRMLVolumeNode"))
        copy.SetAndObserveTransformNodeID(self._transformAt(node.GetParentTransformNode(), value, hidden))
        return copy

    def _transformAt(self, transform: Any, value: str, hidden: list[Any]) -> str | None:
        """The id of a transform as it is at that index value; itself unless it moves with the sequence too."""
        chain = []
        while transform is not None:
            chain.append(transform)
            transform = transform.GetParentTransformNode()
        sequences = [self._browser.GetSequenceNode(node) for node in chain]
        moving = [number for number, sequence in enumerate(sequences) if sequence is not None]
        if not moving:
            return chain[0].GetID() if chain else None
        parent: Any = chain[moving[-1] + 1] if moving[-1] + 1 < len(chain) else None
        for node, sequence in reversed(list(zip(chain, sequences, strict=True))[: moving[-1] + 1]):
            data = (sequence.GetDataNodeAtValue(value, False) if sequence is not None else None) or node
            copy = _addHidden(data.GetClassName(), node.GetName(), hidden)
            copy.CopyContent(data, True)
            copy.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
            parent = copy
        return str(parent.GetID())

    def _segmentationAt(self, value: str, volume: Any, hidden: list[Any]) -> Any:
        segmentation = _addHidden("vtkMRMLSegmentationNode", self._name, hidden)
        earlier = self._target.GetDataNodeAtValue(value, True) if self._target is not None else None
        if earlier is not None:
            segmentation.CopyContent(earlier, True)
        if earlier is None or not segmentation.GetSegmentation().GetNumberOfSegments():
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        transform = volume.GetParentTransformNode()
        # What is under a non-linear transform is segmented in world coordinates.
        if transform is not None and transform.IsTransformToWorldLinear():
            segmentation.SetAndObserveTransformNodeID(transform.GetID())
        return segmentation

    def _targetSequence(self) -> Any:
        if self._target is None:
            self._target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", self._name)
            self._target.SetIndexName(self._source.GetIndexName())
            self._target.SetIndexUnit(self._source.GetIndexUnit())
            self._target.SetIndexType(self._source.GetIndexType())
        return self._target

    def _addProxy(self, sequence: Any) -> Any:
        volume = self._volumes[0]
        proxy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", self._name)
        proxy.CreateDefaultDisplayNodes()
        wasModifying = self._browser.StartModify()
        slicer.modules.sequences.logic().AddSynchronizedNode(sequence, proxy, self._browser)
        self._browser.SetOverwriteProxyName(sequence, False)
        # A missing frame is an empty one, and what a person corrects in a frame stays in it.
        self._browser.SetMissingItemMode(sequence, self._browser.MissingItemCreateFromDefault)
        self._browser.SetSaveChanges(sequence, True)
        self._browser.EndModify(wasModifying)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self._browser)
        proxy.SetNodeReferenceID(proxy.GetReferenceImageGeometryReferenceRole(), volume.GetID())
        if self._underTransform:
            proxy.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        placeBeside(proxy, volume)
        return proxy


def _baseName(node: Any) -> str:
    """The name of a proxy node, without the frame that Slicer may write behind it."""
    browser: Any = browserOf(node)
    sequence: Any = browser.GetSequenceNode(node) if browser is not None else None
    renamed = sequence is not None and browser.GetOverwriteProxyName(sequence)
    return str(sequence.GetName() if renamed else node.GetName())


def _addHidden(className: str, name: str, hidden: list[Any]) -> Any:
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetName(name)
    node = slicer.mrmlScene.AddNode(node)
    hidden.append(node)
    return node
