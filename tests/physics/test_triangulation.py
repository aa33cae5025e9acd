"""The triangulation and its dual against Qhull, freud and perfect lattices, and their honesty at the edge."""

from __future__ import annotations

import freud
import numpy as np
import pytest
from scipy.spatial import Delaunay, Voronoi
from simulated_tracks import relaxed, table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators.bond_order import bond_order, psi, psi6_table
from colloidlab.indicators.triangulation import delaunay_pairs, triangulate, triangulate_tracks
from colloidlab.indicators.voronoi import voronoi_areas, voronoi_table


def keys(pairs: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.sort(pairs, axis=1).tolist()))


@pytest.mark.parametrize("seed", range(20))
def test_same_triangles_as_qhull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = rng.integers(3, 300)
    points = rng.normal(size=(n, 2)) if seed % 2 else rng.uniform(size=(n, 2)) * (1, 50)
    assert keys(triangulate(points + 700).triangles) == keys(Delaunay(points).simplices)


def test_edges_name_both_sides() -> None:
    points = np.random.default_rng(0).uniform(size=(200, 2))
    mesh = triangulate(points)
    starts, others = Delaunay(points).vertex_neighbor_vertices
    assert keys(mesh.edges) == keys(np.column_stack([np.repeat(np.arange(200), np.diff(starts)), others]))
    assert len(mesh.edges) == len(keys(mesh.edges)) and (mesh.edges[:, 0] < mesh.edges[:, 1]).all()
    inner = (mesh.apexes >= 0).all(axis=1)
    sides = np.concatenate(
        [np.column_stack([mesh.edges[inner], mesh.apexes[inner, k]]) for k in range(2)]
        + [np.column_stack([mesh.edges[~inner], mesh.apexes[~inner, 0]])]
    )
    assert keys(sides) == keys(mesh.triangles)


@pytest.mark.parametrize("points", ["square", "triangular", "line", "twice", "few"])
def test_degenerate_positions(points: str) -> None:
    square = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2)
    case = {
        "square": square,
        "triangular": triangular(6, 6),
        "line": square[:6],
        "twice": np.concatenate([square, square[:1]]),
        "few": square[:2],
    }[points]
    mesh = triangulate(case)
    corners = case[mesh.triangles]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    doubled = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    assert (doubled > -1e-12).all()
    # The triangles fill the hull, once.
    expected = {"square": 25, "triangular": 5 * 5.5 * np.sqrt(3) / 2, "twice": 25}.get(points, 0.0)
    if points == "triangular":  # zigzag sides: the hull is wider than the rows
        assert doubled.sum() / 2 == pytest.approx(expected, rel=0.05)
    else:
        assert doubled.sum() / 2 == pytest.approx(expected)


def test_periodic_cells_as_freud_has_them() -> None:
    box = np.array([20.0, 20.0])
    points = relaxed(np.random.default_rng(2), 300, 20.0, 1.1, sweeps=25)
    # freud has single precision: give both the same positions.
    near = (points - 10).astype(np.float32)
    mesh = triangulate(near.astype(np.float64), box=box)
    peer = freud.locality.Voronoi().compute(
        (freud.box.Box(20, 20, is2D=True), np.column_stack([near, np.zeros(300, np.float32)]))
    )
    np.testing.assert_allclose(voronoi_areas(mesh), peer.volumes, rtol=2e-6)
    assert voronoi_areas(mesh).sum() == pytest.approx(400, rel=1e-7)
    assert keys(mesh.edges) == keys(peer.nlist[:])
    facets = dict(zip(map(tuple, np.sort(peer.nlist[:], axis=1).tolist()), peer.nlist.weights))
    ours = np.array([facets[tuple(pair)] for pair in mesh.edges.tolist()])
    np.testing.assert_allclose(mesh.facets, ours, atol=1e-4)
    for fold in (4, 5, 6):
        hexatic = freud.order.Hexatic(k=fold).compute(
            (freud.box.Box(20, 20, is2D=True), np.column_stack([near, np.zeros(300)])), neighbors=peer.nlist
        )
        np.testing.assert_allclose(bond_order(mesh, fold), hexatic.particle_order, atol=2e-5)


def test_periodic_lattices_have_their_cells() -> None:
    hexagons = triangulate(triangular(8, 8, 2.0) + 0.3, box=np.array([16.0, 8 * np.sqrt(3)]))
    np.testing.assert_allclose(voronoi_areas(hexagons), 4 * np.sqrt(3) / 2, rtol=1e-7)
    assert (hexagons.coordination == 6).all()
    np.testing.assert_allclose(np.abs(bond_order(hexagons)), 1, atol=1e-7)
    square = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2)
    # Four on a circle: whichever diagonal is taken, areas are those of the squares.
    np.testing.assert_allclose(voronoi_areas(triangulate(square, box=np.array([6.0, 6.0]))), 1, rtol=1e-7)


def test_a_periodic_box_may_be_small_or_empty_in_places() -> None:
    rng = np.random.default_rng(4)
    box = np.array([10.0, 30.0])
    clump = rng.uniform(0, 1, (60, 2)) * (10, 6)
    areas = voronoi_areas(triangulate(clump, box=box))
    assert areas.sum() == pytest.approx(300, rel=1e-6)
    with pytest.raises(InputError, match="too small"):
        triangulate(rng.uniform(0, 1, (4, 2)), box=np.array([1.0, 1.0]))
    with pytest.raises(InputError, match="not both"):
        triangulate(clump, box=box, region=(0, 0, 1, 1))


def test_certain_cells_of_a_view_are_those_of_the_whole_sample() -> None:
    points = relaxed(np.random.default_rng(5), 400, 40.0, 2.0, sweeps=25)
    whole = triangulate(points, box=np.array([40.0, 40.0]))
    inside = np.flatnonzero(((points > 10) & (points < 30)).all(axis=1))
    seen = triangulate(points[inside], region=(10.0, 10.0, 30.0, 30.0))
    sure = seen.certain
    assert 0.4 * inside.size < sure.sum() < inside.size
    np.testing.assert_allclose(voronoi_areas(seen)[sure], voronoi_areas(whole)[inside][sure], rtol=1e-6)
    assert (seen.coordination[sure] == whole.coordination[inside][sure]).all()
    assert np.isnan(voronoi_areas(seen)[~sure]).all()
    # An edge that is marked certain is an edge of the whole sample, with the same facet.
    facets = dict(zip(map(tuple, whole.edges.tolist()), whole.facets))
    edges = inside[seen.edges[seen.certain_edges]]
    expected = [facets[tuple(sorted(pair))] for pair in edges.tolist()]
    np.testing.assert_allclose(seen.facets[seen.certain_edges], expected, atol=1e-6)


def test_areas_are_those_of_qhull_voronoi() -> None:
    points = np.random.default_rng(8).uniform(0, 10, (150, 2))
    mesh, peer = triangulate(points), Voronoi(points)
    areas = voronoi_areas(mesh)
    assert np.isfinite(areas).sum() > 50
    for i in np.flatnonzero(np.isfinite(areas)):
        x, y = peer.vertices[peer.regions[peer.point_region[i]]].T
        area = 0.5 * abs(x @ np.roll(y, 1) - y @ np.roll(x, 1))
        assert areas[i] == pytest.approx(area, rel=1e-9)


def test_pairs_in_space_and_in_the_plane() -> None:
    points = np.random.default_rng(1).uniform(size=(60, 3))
    points[7] = np.nan
    whole = np.flatnonzero(np.isfinite(points[:, 0]))
    expected = set()
    for simplex in whole[Delaunay(points[whole]).simplices]:
        expected |= {tuple(sorted((int(i), int(j)))) for i in simplex for j in simplex if i != j}
    assert keys(delaunay_pairs(points)) == expected
    assert keys(delaunay_pairs(points[:, :2])) == keys(triangulate(points[:, :2]).edges)
    assert delaunay_pairs(np.zeros((3, 3))).shape == (0, 2)


def test_psi_of_other_folds() -> None:
    square = np.array([[0.0, 0], [1, 0.01], [0.01, 1], [-1, 0], [0, -1]])
    angle = np.angle(square[1:, 0] + 1j * square[1:, 1])
    order = psi(square, 4, region=(-5, -5, 5, 5))
    assert order[0] == pytest.approx(np.exp(4j * angle).mean(), abs=1e-12)
    assert abs(psi(square, 3, region=(-5, -5, 5, 5))[0]) < 0.05 < 0.9 < abs(order[0])
    with pytest.raises(InputError, match="fold"):
        psi(square, 0)


def test_tables_take_triangulations_and_refuse_those_of_others() -> None:
    tracks = table(triangular(9, 9, 5.0) + np.random.default_rng(0).normal(0, 0.3, (3, 81, 2)))
    tracks = tracks[(tracks.frame != 1) | (tracks.particle > 4)]
    meshes = triangulate_tracks(tracks)
    cells = voronoi_table(tracks, triangulations=meshes)
    assert cells.equals(voronoi_table(tracks)) and len(cells) == len(tracks)
    assert cells.voronoi_area_px2.isna().equals(cells.edge_cell)
    inner = cells[~cells.edge_cell]
    assert inner.voronoi_area_px2.mean() == pytest.approx(25 * np.sqrt(3) / 2, rel=0.02)
    assert psi6_table(tracks, triangulations=meshes).equals(psi6_table(tracks))
    with pytest.raises(InputError, match="other tracks"):
        voronoi_table(tracks[tracks.frame > 0], triangulations=meshes)
    assert len(voronoi_table(tracks[:0])) == 0
