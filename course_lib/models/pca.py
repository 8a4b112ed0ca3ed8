"""Principal component analysis of patches: the linear autoencoder that needs no training.

    y = V (x − m)         analysis: the patch along the num_units directions of largest variance
    x_hat = Vᵀ y + m      synthesis
    L = Σ λ_i, i > num_units: the variances along the directions that were left out

where m is the mean patch, and the rows of V are orthonormal eigenvectors of the covariance of all
patches, in the order of their eigenvalues λ. No other linear code of as many numbers has a smaller
squared error on these patches. With all directions kept it is the Karhunen–Loève transform.

Sources: Pearson, "On lines and planes of closest fit to systems of points in space", 1901;
Hotelling, "Analysis of a complex of statistical variables into principal components", 1933; Eckart
and Young, "The approximation of one matrix by another of lower rank", 1936; for linear networks
that find the same, Baldi and Hornik, "Neural networks and principal component analysis", 1989;
Björck and Golub, "Numerical methods for computing angles between linear subspaces", 1973.
"""

import torch
from torch import Tensor, nn

from course_lib.errors import InputError
from course_lib.models.autoencoders import Reconstruction, check_rows


class PCA(nn.Module):
    """Mean, directions and eigenvalues; made from patches by `fit`, or filled with a state dict.

    It is used like an `Autoencoder`, and has nothing to train.

    >>> pca = PCA.fit(torch.rand(500, 64), num_units=8)
    >>> pca(torch.rand(5, 64)).y.shape
    torch.Size([5, 8])

    Raises:
        InputError: a size below 1, or more units than pixels.
    """

    def __init__(self, num_pixels: int, num_units: int):
        super().__init__()
        if not 1 <= num_units <= num_pixels:
            raise InputError(
                f"Got {num_units} units for {num_pixels} pixels; expected at least one, and not "
                "more than pixels."
            )
        self.register_buffer("mean", torch.zeros(num_pixels))
        self.register_buffer("directions", torch.eye(num_units, num_pixels))  # V, one a row
        self.register_buffer("eigenvalues", torch.zeros(num_pixels))  # all, the largest first

    @classmethod
    def fit(cls, patches: Tensor, num_units: int | None = None) -> "PCA":
        """The components of ``patches (count, num_pixels)``; all of them, or the first num_units.

        Eigenvectors have no sign of their own: the largest entry of each is made positive.

        Raises:
            InputError: not such patches, or fewer of them than units.
        """
        num_pixels = patches.shape[-1]
        check_rows("patches", patches, num_pixels)
        num_units = num_pixels if num_units is None else num_units
        if len(patches) < num_units:
            raise InputError(
                f"Got {len(patches)} patches for {num_units} units; expected at least as many. "
                "Cut more patches, or ask for fewer units."
            )
        pca = cls(num_pixels, num_units)
        exact = patches.double()
        mean = exact.mean(dim=0)
        _, spread, directions = torch.linalg.svd(exact - mean, full_matrices=False)
        largest = directions.abs().argmax(dim=1, keepdim=True)
        directions = directions * directions.gather(1, largest).sign()
        pca.mean.copy_(mean)
        pca.directions.copy_(directions[:num_units])
        pca.eigenvalues[: len(spread)] = (spread.square() / len(patches)).float()
        return pca

    def analysis(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] ``(B, num_pixels)`` to codes ``(B, num_units)``.

        Raises:
            InputError: not ``(B, num_pixels)``, or not floats.
        """
        check_rows("patches", x, len(self.mean))
        return (x - self.mean) @ self.directions.T

    def synthesis(self, y: Tensor) -> Tensor:
        """The first numbers of codes, ``(B, num_units)`` or fewer, to pixels ``(B, num_pixels)``.

        Raises:
            InputError: more numbers than there are units, or not floats.
        """
        num_units = len(self.directions)
        check_rows("codes", y, min(y.shape[-1], num_units))
        return y @ self.directions[: y.shape[1]] + self.mean

    def forward(self, x: Tensor) -> Reconstruction:
        """Pixels to pixels, by way of the code."""
        y = self.analysis(x)
        return Reconstruction(self.synthesis(y), y)

    def lost(self, num_units: int | None = None) -> float:
        """‖x − x_hat‖² with so many units, averaged over the patches of `fit`."""
        num_units = len(self.directions) if num_units is None else num_units
        return self.eigenvalues[num_units:].double().sum().item()


def principal_angles(first: Tensor, second: Tensor) -> Tensor:
    """The angles between two subspaces, in degrees, the smallest first; as many as the smaller has.

    Both are given by vectors that span them, one a row: ``(k, n)`` and ``(m, n)``. All angles are
    zero if and only if the smaller lies within the larger, whatever vectors span them.

    Raises:
        InputError: vectors of different lengths, or that are not linearly independent.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise InputError(
            f"Got vectors of shapes {tuple(first.shape)} and {tuple(second.shape)}; expected "
            "(k, n) and (m, n), one a row."
        )
    large, small = sorted(
        (_orthonormal_columns(first), _orthonormal_columns(second)), key=lambda q: -q.shape[1]
    )
    common = large.T @ small
    cosines = torch.linalg.svdvals(common)  # the largest first
    sines = torch.linalg.svdvals(small - large @ common)  # exact where cosines are too near to 1
    return torch.rad2deg(torch.atan2(sines.flip(0), cosines))


def _orthonormal_columns(vectors: Tensor) -> Tensor:
    """(k, n) to (n, k), float64."""
    exact = vectors.detach().double().T
    if torch.linalg.matrix_rank(exact) < exact.shape[1]:
        raise InputError(
            f"The {len(vectors)} vectors are not linearly independent; expected as many as the "
            "subspace has dimensions."
        )
    return torch.linalg.qr(exact).Q
