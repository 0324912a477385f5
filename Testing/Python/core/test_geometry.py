"""What a user relies on: whatever is done to a scan's axes, every voxel stays where it is in the patient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.geometry import GRID_TOLERANCE_MM, Geometry, Volume

CODES = [
    "".join(letters)
    for order in itertools.permutations(("RL", "AP", "IS"))
    for letters in itertools.product(*order)
]
SHAPE = (3, 4, 5)
STRAIGHT = np.array([[0.8, 0, 0, -90], [0, 1.1, 0, 40.5], [0, 0, 3, 1000], [0, 0, 0, 1.0]])
OBLIQUE = np.array(
    [[0.74, -0.35, 0.55, -90], [0.21, 1.02, -0.6, 40.5], [-0.16, 0.24, 2.88, 1000], [0, 0, 0, 1.0]]
)
SHEARED = np.array([[0.8, 0, 0.9, -90], [0.1, 1.1, 0, 40.5], [0, 0, 3, 1000], [0, 0, 0, 1.0]])
AFFINES = {"straight": STRAIGHT, "oblique": OBLIQUE, "sheared": SHEARED}


def a_scan(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Volume:
    """A scan in which every voxel holds a number of its own, in two channels."""
    numbers = np.arange(np.prod(shape), dtype=np.int32).reshape(1, *shape)
    return Volume(np.concatenate([numbers, -numbers]), Geometry(shape, affine))


def positions(geometry: Geometry) -> np.ndarray:
    """LPS position of each voxel, ``(n, 3)``, worked out from the affine alone."""
    k, j, i = (axis.ravel() for axis in np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"))
    return (geometry.affine @ np.stack([i, j, k, np.ones_like(i)])).T[:, :3]


def assert_voxels_stay(before: Volume, after: Volume) -> None:
    """Each number of ``before`` that ``after`` holds lies at the same place in the patient."""
    numbers = after.array[0].ravel()
    assert np.array_equal(after.array[1].ravel(), -numbers)
    assert np.allclose(positions(after.geometry), positions(before.geometry)[numbers], atol=1e-9)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("code", CODES)
def test_every_orientation_can_be_reached_and_left_without_moving_a_voxel(
    code: str, affine: np.ndarray
) -> None:
    scan = a_scan(affine)
    turned = scan.reorient(code)
    assert turned.geometry.orientation == code
    assert_voxels_stay(scan, turned)
    back = turned.reorient("LPS")
    assert np.array_equal(back.array, scan.array)
    assert back.geometry.same_grid(scan.geometry)


def test_there_are_48_orientations() -> None:
    assert len(set(CODES)) == 48
    assert {a_scan(STRAIGHT).reorient(code).geometry.orientation for code in CODES} == set(CODES)


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "LPS"),
        ([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], "RAS"),
        ([[0, 1, 0], [0, 0, -1], [1, 0, 0]], "PIL"),  # sagittal slices
        ([[0.9, 0.3, 0.1], [0.2, 0.1, -0.9], [0.3, -0.9, 0.1]], "LIA"),  # tilted coronal slices
    ],
)
def test_the_orientation_names_the_directions_in_which_i_j_and_k_grow(
    columns: list[list[float]], code: str
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    assert Geometry(SHAPE, affine).orientation == code


def test_strongly_tilted_axes_still_get_three_different_letters() -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.7, 0.6, 0.39], [0.62, -0.5, -0.6], [-0.1, 0.7, -0.7]]).T
    code = Geometry(SHAPE, affine).orientation
    assert sorted("RL" if c in "RL" else "AP" if c in "AP" else "IS" for c in code) == ["AP", "IS", "RL"]


@pytest.mark.parametrize("code", ["", "LP", "LPSL", "LRS", "LPX", "lps", "SSS"])
def test_a_code_that_is_no_orientation_is_refused(code: str) -> None:
    with pytest.raises(InputError, match=f"'{code}' is not a code such as LPS or RAS"):
        a_scan(STRAIGHT).reorient(code)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_permuting_axes_moves_no_voxel(axes: tuple[int, int, int], affine: np.ndarray) -> None:
    scan = a_scan(affine)
    moved = scan.permute(axes)
    assert moved.shape == tuple(SHAPE[axis] for axis in axes)
    assert_voxels_stay(scan, moved)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_flipping_axes_moves_no_voxel(axes: tuple[int, ...], affine: np.ndarray) -> None:
    scan = a_scan(affine)
    moved = scan.flip(axes)
    assert_voxels_stay(scan, moved)
    assert np.array_equal(moved.flip(axes).array, scan.array)
    assert moved.flip(axes).geometry.same_grid(scan.geometry)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_crop_inside_moves_no_voxel(affine: np.ndarray) -> None:
    scan = a_scan(affine)
    cut = scan.crop((1, 0, 2), (2, 3, 2))
    assert np.array_equal(cut.array, scan.array[:, 1:3, 0:3, 2:4])
    assert_voxels_stay(scan, cut)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_crop_that_reaches_outside_is_filled_there_and_moves_no_voxel(affine: np.ndarray) -> None:
    scan = a_scan(affine)
    cut = scan.crop((-1, 2, -2), (3, 5, 4), fill=777)
    assert cut.shape == (3, 5, 4)
    inside = np.zeros(cut.shape, bool)
    inside[1:, :2, 2:] = True
    assert np.array_equal(cut.array[0] != 777, inside)
    there = positions(scan.geometry)[cut.array[0][inside]]
    assert np.allclose(positions(cut.geometry)[inside.ravel()], there, atol=1e-9)


def test_a_crop_beside_the_scan_holds_nothing_of_it() -> None:
    for start in ((5, 0, 0), (-4, 0, 0), (0, 0, 9)):
        cut = a_scan(STRAIGHT).crop(start, (2, 2, 2), fill=-1)
        assert cut.shape == (2, 2, 2)
        assert (cut.array == -1).all()


def test_padding_keeps_the_type_and_cropping_it_away_gives_the_scan_back() -> None:
    scan = a_scan(OBLIQUE)
    padded = scan.pad((1, 0, 2), (0, 3, 1), fill=9)
    assert padded.shape == (4, 7, 8)
    assert padded.array.dtype == scan.array.dtype
    assert (padded.array[:, 0] == 9).all()
    back = padded.crop((1, 0, 2), SHAPE)
    assert np.array_equal(back.array, scan.array)
    assert back.geometry.same_grid(scan.geometry)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("shape", [(6, 8, 10), (1, 4, 2), (7, 3, 5)])
def test_a_resampled_grid_covers_exactly_the_same_box(
    affine: np.ndarray, shape: tuple[int, int, int]
) -> None:
    geometry = Geometry(SHAPE, affine)
    finer = geometry.resampled(shape)
    for corner in itertools.product((0, 1), repeat=3):
        ends = [np.array(corner) * g.shape - 0.5 for g in (geometry, finer)]
        assert np.allclose(geometry.index_to_lps(ends[0]), finer.index_to_lps(ends[1]), atol=1e-9)
    assert np.allclose(np.multiply(finer.spacing, shape), np.multiply(geometry.spacing, SHAPE))
    assert finer.resampled(SHAPE).same_grid(geometry)


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [((3.0, 1.1, 0.8), (3, 4, 5)), ((1.0, 1.1, 1.6), (9, 4, 2)), ((100.0, 100.0, 100.0), (1, 1, 1))],
)
def test_the_shape_at_a_spacing_fills_the_box_and_is_never_empty(
    spacing: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    assert Geometry(SHAPE, STRAIGHT).shape_at(spacing) == shape


def test_spacing_origin_and_direction_are_those_of_the_header() -> None:
    geometry = Geometry(SHAPE, STRAIGHT)
    assert geometry.spacing == pytest.approx((3.0, 1.1, 0.8))
    assert np.allclose(geometry.origin, [-90, 40.5, 1000])
    assert np.allclose(geometry.direction, np.eye(3))
    tilted = Geometry(SHAPE, OBLIQUE)
    assert np.allclose(tilted.direction * tilted.spacing[::-1], OBLIQUE[:3, :3])
    assert np.allclose(np.linalg.norm(tilted.direction, axis=0), 1)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_indices_and_positions_are_inverse_to_each_other(affine: np.ndarray) -> None:
    geometry = Geometry(SHAPE, affine)
    index = np.random.default_rng(0).uniform(-2, 7, (2, 10, 3))
    assert np.allclose(geometry.lps_to_index(geometry.index_to_lps(index)), index, atol=1e-9)
    assert np.allclose(geometry.index_to_lps(np.array([2, 1, 0])), affine @ [0, 1, 2, 1] @ np.eye(4, 3))


def test_grids_are_the_same_up_to_what_a_header_rounds_away() -> None:
    geometry = Geometry((200, 200, 200), OBLIQUE)
    assert geometry.same_grid(Geometry(geometry.shape, OBLIQUE.astype(np.float32)))
    for shift, same in ((0.9, True), (1.1, False)):
        moved = OBLIQUE.copy()
        moved[1, 3] += shift * GRID_TOLERANCE_MM
        assert geometry.same_grid(Geometry(geometry.shape, moved)) == same
    assert geometry.same_grid(Geometry(geometry.shape, moved), tolerance_mm=0.1)


def test_a_tiny_difference_in_spacing_counts_where_it_adds_up() -> None:
    stretched = STRAIGHT * np.array([1, 1, 1 + 1e-5, 1])
    assert Geometry((10, 4, 5), STRAIGHT).same_grid(Geometry((10, 4, 5), stretched))
    assert not Geometry((200, 4, 5), STRAIGHT).same_grid(Geometry((200, 4, 5), stretched))


def test_grids_of_another_shape_or_direction_differ() -> None:
    geometry = Geometry(SHAPE, STRAIGHT)
    assert not geometry.same_grid(Geometry((3, 4, 6), STRAIGHT))
    assert not geometry.same_grid(geometry.flipped((2,)))
    finer = Geometry((5, 4, 5), STRAIGHT * np.array([1, 1, 0.5, 1]))  # its corners are the same
    assert np.allclose(finer.corners(), geometry.corners())
    assert not geometry.same_grid(finer)


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, -1, 5), (3, 4), (3, 4, 5, 1)])
def test_a_shape_that_is_no_volume_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="three positive sizes") as error:
        Geometry(shape, STRAIGHT)  # type: ignore[arg-type]
    assert str(shape) in error.value.message


@pytest.mark.parametrize(
    ("affine", "sentence"),
    [
        (np.eye(3), "no finite 4x4"),
        (np.full((4, 4), np.nan), "no finite 4x4"),
        (np.diag([1, np.inf, 1, 1]), "no finite 4x4"),
        (np.diag([1.0, 0, 1, 1]), "do not span a volume"),
        (np.array([[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "do not span a volume"),
        (np.diag([1.0, 1, 1, 2]), "do not span a volume"),
    ],
)
def test_a_header_that_places_nothing_is_refused_and_says_what_to_do(
    affine: np.ndarray, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        Geometry(SHAPE, affine)
    assert error.value.hint


def test_a_grid_does_not_change_after_it_was_made() -> None:
    affine = STRAIGHT.copy()
    geometry = Geometry(SHAPE, affine)
    affine[0, 3] = 5
    assert geometry.origin[0] == -90
    geometry.origin[0] = 7
    assert geometry.origin[0] == -90
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 3] = 5


@pytest.mark.parametrize("shape", [SHAPE, (1, 5, 4, 3), (1, 2, *SHAPE)])
def test_an_array_that_does_not_fit_its_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="does not fit a grid") as error:
        Volume(np.zeros(shape), Geometry(SHAPE, STRAIGHT))
    assert str(shape) in error.value.message
    assert str(SHAPE) in error.value.message


@pytest.mark.parametrize("code", ["LPS", "LSP", "PLS", "SPL", "RAS"])
def test_axes_at_exactly_45_degrees_are_never_turned_around(code: str) -> None:
    half = np.sqrt(0.5)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, half, -half], [0, half, half]]).T
    geometry = Geometry((4, 5, 6), affine)
    permutation, flips = geometry.reorientation(code)
    moved = geometry.permuted(permutation).flipped(flips)
    towards = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    along = sum(towards[c][1] * moved.direction[towards[c][0], column] for column, c in enumerate(code))
    assert along == pytest.approx(1 + 2 * half)
