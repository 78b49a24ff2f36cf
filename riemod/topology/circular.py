"""Circular coordinates: maps from points to circles, made from persistent classes of degree 1, also for new points."""

from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import lsqr
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from riemod._arrays import as_array, check_points
from riemod._checks import check_choice, check_integer, check_prime
from riemod.topology._arguments import random_source, validated
from riemod.topology._neighbors import neighborhood, shortest_paths
from riemod.topology.clouds import principal_axes
from riemod.topology.landmarks import FEWEST_POINTS, GRAPH, denoised, max_min
from riemod.topology.persistence import enclosing_radius, library

_COMPONENTS = 20


class CircularCoordinates(TransformerMixin, BaseEstimator):
    """Maps points to one angle for each of the longest bars of degree 1.

    The angle of x is 2 pi h(x), where h(x) = t_j + sum_k phi_k(x) theta(j, k) modulo 1. Here j is the landmark nearest
    to x, phi a partition of unity over the landmarks near x, and theta the harmonic form of a class: theta = eta - d t,
    where eta is the class's cocycle on the landmarks, lifted to the integers, and t is found by weighted least squares,
    in which near landmarks weigh more and crowded ones less. Several coordinates are decorrelated: an integer change of
    basis makes the forms as short as possible (Lagrange and Gauss), so that on a torus each angle turns around one
    circle. A point off the manifold is mapped as its projection onto the manifold.

    Angles are defined up to rotation, reflection and, if there are several, an integer change of basis.
    300 landmarks of 1,000 points take about a second.

    Args:
        n_coordinates: how many angles.
        metric: "euclidean", or "geodesic" along the graph of the 15 nearest points (see `ModuliRecovery`).
        n_landmarks: largest number of max-min landmarks, which are chosen after `local_pca_projection`.
        prime: of the cocycles' coefficients, odd.
        random_state: seed, or numpy RandomState; it draws the first landmark.

    Attributes:
        landmarks_: (m, k) principal components of the landmarks.
        intervals_: (n_coordinates, 2) births and deaths of the classes.
        scale_: length up to which two landmarks are joined, between the births and the deaths.
        joined_: (m, m) which landmarks are joined.
        forms_: theta of each coordinate, antisymmetric sparse matrices, in turns.
        angles_: (m, n_coordinates) angles of the landmarks, in turns.
        correlations_: (n_coordinates, n_coordinates) cosines between the forms.

    Raises:
        ValueError: from `fit`: fewer bars than coordinates, bars that share no scale, a prime that is 2 or not a prime,
            or a cocycle that does not lift to the integers at this prime.
        ImportError: from `fit`: without ripser.

    Reference: de Silva, Morozov and Vejdemo-Johansson, https://doi.org/10.1007/s00454-011-9344-x; out of sample, Perea,
    https://doi.org/10.1007/978-3-030-43408-3_18; several, Scoccola et al., https://doi.org/10.4230/LIPIcs.SoCG.2023.57

    >>> angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    >>> ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    >>> found = CircularCoordinates().fit(ring).transform(ring)
    >>> round(circular_correlation(angle, found[:, 0]), 3)
    1.0
    """

    def __init__(
        self,
        n_coordinates: int = 1,
        *,
        metric: Literal["euclidean", "geodesic"] = "euclidean",
        n_landmarks: int = 300,
        prime: int = 47,
        random_state: Any = 0,
    ) -> None:
        self.n_coordinates = n_coordinates
        self.metric = metric
        self.n_landmarks = n_landmarks
        self.prime = prime
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose landmarks and compute the forms and angles on them.

        Args:
            X: (n, k) points, an array or a tensor.
            y: not used.

        Returns:
            The estimator.
        """
        if check_prime(self.prime) == 2:
            raise ValueError("prime must be odd, got 2")
        check_integer("n_coordinates", self.n_coordinates, 1)
        check_integer("n_landmarks", self.n_landmarks, 3)
        check_choice("metric", self.metric, ("euclidean", "geodesic"))
        data = self._array(X, reset=True)
        self.mean_, self.axes_ = principal_axes(data, _COMPONENTS)
        points = denoised((data - self.mean_) @ self.axes_)
        start = int(random_source(self.random_state).randint(len(points)))
        chosen, radius = max_min(points, min(self.n_landmarks, len(points)), start)
        self.landmarks_ = points[chosen]
        if self.metric == "geodesic":
            distances, nearest = shortest_paths(neighborhood(points, GRAPH), chosen)
            radius = float(nearest.max())
        else:
            distances = cdist(self.landmarks_, self.landmarks_)
        self.intervals_, cocycles = self._classes(distances)
        births, deaths = self.intervals_.T
        # Balls of half this radius around landmarks should cover the points, and their nerve lie in the complex.
        self.scale_ = float(min(max(2.0 * radius, 1.5 * births.max()), 0.5 * (births.max() + deaths.min())))
        self.joined_ = distances <= self.scale_
        edges = np.argwhere(np.triu(self.joined_, 1))
        integers = [_lift(cocycle, edges, self.joined_, self.prime) for cocycle in cocycles]
        weights = _weights(edges, distances, self.scale_)
        potentials, forms = zip(*(_harmonic(values, edges, weights) for values in integers), strict=True)
        basis = reduced_basis(np.stack(forms) * np.sqrt(weights))
        forms, potentials = basis @ np.stack(forms), basis @ np.stack(potentials)
        self.correlations_ = _cosines(forms * np.sqrt(weights))
        self.angles_ = np.mod(potentials.T, 1.0)
        self.forms_ = [_antisymmetric(edges, form, len(distances)) for form in forms]
        return self

    def transform(self, X: Any) -> Float[np.ndarray, "n c"]:
        """Map points to angles, in radians, from 0 to 2 pi.

        Args:
            X: (n, k) points, an array or a tensor.

        Returns:
            (n, n_coordinates).
        """
        check_is_fitted(self, "forms_")
        points = (self._array(X, reset=False) - self.mean_) @ self.axes_
        distances = cdist(points, self.landmarks_)
        nearest = distances.argmin(axis=1)
        least = distances.min(axis=1)
        # All distances of a point off the manifold contain its distance to it. Subtract what exceeds scale / 4.
        off = np.maximum(least**2 - (self.scale_ / 4) ** 2, 0.0)
        weights = np.maximum(self.scale_ / 2 - np.sqrt(distances**2 - off[:, None]), 0.0)
        weights *= self.joined_[nearest]
        weights /= weights.sum(axis=1, keepdims=True)
        turns = [
            self.angles_[nearest, index] + (weights * form.toarray()[nearest]).sum(axis=1)
            for index, form in enumerate(self.forms_)
        ]
        return 2 * np.pi * np.mod(np.stack(turns, axis=1), 1.0)

    def _array(self, X: Any, *, reset: bool) -> np.ndarray:
        least = FEWEST_POINTS if reset else 1
        return validated(self, X, reset=reset, ensure_min_samples=least, ensure_min_features=2)

    def _classes(self, distances: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Compute the intervals and cocycles of the longest bars by death / birth."""
        threshold = enclosing_radius(distances)
        found = library("ripser").ripser(
            distances, maxdim=1, coeff=self.prime, do_cocycles=True, distance_matrix=True, thresh=threshold
        )
        diagram = np.minimum(np.asarray(found["dgms"][1], dtype=float), threshold)
        if len(diagram) < self.n_coordinates:
            raise ValueError(
                f"n_coordinates must not exceed the number of bars of X in degree 1, {len(diagram)}, "
                f"got {self.n_coordinates}"
            )
        order = np.argsort(-diagram[:, 1] / diagram[:, 0], kind="stable")[: self.n_coordinates]
        intervals = diagram[order]
        if intervals[:, 0].max() >= intervals[:, 1].min():
            raise ValueError(
                f"n_coordinates must select bars of X that live at a common scale, got {self.n_coordinates}, with "
                f"births up to {intervals[:, 0].max():.3g} and deaths from {intervals[:, 1].min():.3g}"
            )
        return intervals, [np.asarray(found["cocycles"][1][index], dtype=int) for index in order]


def _lift(cocycle: np.ndarray, edges: np.ndarray, joined: np.ndarray, prime: int) -> np.ndarray:
    """Lift a cocycle to the integers nearest to 0 on the edges; raise unless they add up to 0 around every triangle."""
    values = np.zeros(joined.shape, dtype=int)
    rows, columns, coefficients = cocycle.T
    lifted = (coefficients + prime // 2) % prime - prime // 2
    values[rows, columns], values[columns, rows] = lifted, -lifted
    values *= joined
    for i, j in edges[values[edges[:, 0], edges[:, 1]] != 0]:
        both = np.flatnonzero(joined[i] & joined[j])
        if np.any(values[i, j] + values[j, both] + values[both, i] != 0):
            raise ValueError(f"prime must let every cocycle lift to the integers, got {prime}; try another prime")
    return values[edges[:, 0], edges[:, 1]].astype(float)


def _weights(edges: np.ndarray, distances: np.ndarray, scale: float) -> np.ndarray:
    """Weigh edges by exp(-2 d^2 / scale^2) / (q_i q_j), q_i the sum of exponentials at i, against uneven density."""
    rows, columns = edges.T
    kernel = np.exp(-2 * (distances[rows, columns] / scale) ** 2)
    sums = 1.0 + np.bincount(rows, kernel, len(distances)) + np.bincount(columns, kernel, len(distances))
    return kernel / (sums[rows] * sums[columns])


def _harmonic(values: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return t and theta = eta - d t, where t minimizes the weighted |theta|^2 and (d t)(i, j) = t_j - t_i."""
    index, count = np.arange(len(edges)), len(edges)
    signs = np.concatenate([-np.ones(count), np.ones(count)])
    places = np.concatenate([index, index]), np.concatenate([edges[:, 0], edges[:, 1]])
    difference = coo_array((signs, places)).tocsr()
    roots = np.sqrt(weights)
    potential = lsqr(diags_array(roots) @ difference, roots * values, atol=1e-12, btol=1e-12)[0]
    return potential, values - difference @ potential


def reduced_basis(forms: Float[np.ndarray, "c e"]) -> Float[np.ndarray, "c c"]:
    """Find the integer change of basis after which adding a multiple of another form makes no form shorter.

    Its determinant is 1 or -1. For two forms this is the Lagrange-Gauss reduction, which gives the shortest basis.

    Args:
        forms: one in each row.

    >>> reduced_basis(np.array([[1.0, 0.0], [3.0, 1.0]]))
    array([[ 1.,  0.],
           [-3.,  1.]])
    """
    gram = forms @ forms.T
    basis = np.eye(len(forms))
    changed = True
    while changed:
        changed = False
        for i in range(len(forms)):
            for j in range(len(forms)):
                lengths = basis @ gram @ basis.T
                step = np.round(lengths[i, j] / lengths[j, j]) if i != j else 0.0
                shorter = lengths[i, i] - 2 * step * lengths[i, j] + step**2 * lengths[j, j]
                if step and shorter < lengths[i, i] * (1 - 1e-9):
                    basis[i] -= step * basis[j]
                    changed = True
    return basis


def _cosines(forms: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(forms, axis=1)
    return forms @ forms.T / np.outer(lengths, lengths)


def _antisymmetric(edges: np.ndarray, form: np.ndarray, size: int) -> csr_array:
    rows, columns = edges.T
    places = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    return coo_array((np.concatenate([form, -form]), places), shape=(size, size)).tocsr()


def circular_correlation(first: Any, second: Any) -> float:
    """Return the maximum over s = 1, -1 of |mean exp(i (a - s b))|; it is 1 if a = s b + constant, modulo 2 pi.

    Independent angles have |mean exp(i a)| |mean exp(i b)|, up to 1 / sqrt(n): near 0 if either is evenly spread, and
    up to 1 if both are not. Compare with angles that are shifted in time before you speak of agreement.

    Args:
        first: (n,) angles a, rad; or (n, 1).
        second: (n,) angles b, rad; or (n, 1).

    Raises:
        ValueError: if the lengths differ or are 0, there are several columns, or angles are not finite.

    >>> angle = np.linspace(0, 6, 50)
    >>> round(circular_correlation(angle, 1 - angle), 6)
    1.0
    """
    a, b = (_one_angle(angles, name) for angles, name in ((first, "first"), (second, "second")))
    if len(a) != len(b):
        raise ValueError(f"first and second must be of one length, got {len(a)} and {len(b)}")
    return float(max(abs(np.exp(1j * (a - b)).mean()), abs(np.exp(1j * (a + b)).mean())))


def _one_angle(angles: Any, name: str) -> np.ndarray:
    array = as_array(angles, name)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1):
        raise ValueError(f"{name} must be one angle a row, (n,) or (n, 1), got the shape {array.shape}")
    return check_points(array.reshape(-1, 1), name).ravel()
