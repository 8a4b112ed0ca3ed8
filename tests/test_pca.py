"""PCA agrees with scikit-learn, loses what its eigenvalues say, and angles with SciPy's."""

import numpy as np
import pytest
import scipy.linalg
import sklearn.decomposition
import torch

from course_lib.errors import InputError
from course_lib.models.autoencoders import reconstruction_loss
from course_lib.models.pca import PCA, principal_angles


@pytest.fixture
def patches():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator)
    return torch.randn(300, 12, generator=generator) @ mixing + torch.arange(12)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pca_agrees_with_scikit_learn(patches):
    ours, theirs = PCA.fit(patches, 5), sklearn.decomposition.PCA(5).fit(patches.numpy())
    unbiased = ours.eigenvalues[:5] * len(patches) / (len(patches) - 1)
    np.testing.assert_allclose(unbiased, theirs.explained_variance_, rtol=1e-4)
    cosines = (ours.directions.numpy() * theirs.components_).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-5)
    rebuilt = theirs.inverse_transform(theirs.transform(patches.numpy()))
    np.testing.assert_allclose(ours(patches).x_hat, rebuilt, atol=1e-3)


@pytest.mark.parametrize("num_units", [1, 5, 11, 12])
def test_the_error_is_the_sum_of_the_discarded_eigenvalues(patches, num_units):
    pca = PCA.fit(patches, num_units)
    loss = reconstruction_loss(patches, pca(patches).x_hat).item()
    assert loss == pytest.approx(pca.lost(), rel=1e-4, abs=1e-6)
    assert pca.lost(num_units) == pca.lost()
    total = patches.var(dim=0, correction=0).sum().item()
    assert pca.lost(0) == pytest.approx(total, rel=1e-5)


def test_no_other_directions_lose_less(patches):
    pca, centred = PCA.fit(patches, 4), patches - patches.mean(dim=0)
    for seed in range(20):
        q = torch.linalg.qr(draw(12, 4, seed=seed)).Q.float()
        assert reconstruction_loss(centred, centred @ q @ q.T).item() > pca.lost()


def test_directions_are_orthonormal_codes_uncorrelated_and_signs_fixed(patches):
    pca = PCA.fit(patches)
    torch.testing.assert_close(pca.directions @ pca.directions.T, torch.eye(12))
    covariance = torch.cov(pca.analysis(patches).T, correction=0)
    assert torch.allclose(covariance, pca.eigenvalues.diag(), atol=1e-3 * pca.eigenvalues[0])
    assert (pca.eigenvalues.diff() <= 0).all()
    assert (pca.directions.amax(dim=1) == pca.directions.abs().amax(dim=1)).all()
    flipped = PCA.fit(2 * patches.mean(dim=0) - patches)
    torch.testing.assert_close(flipped.directions, pca.directions, atol=1e-4, rtol=0)


def test_a_code_cut_short_draws_what_fewer_units_draw(patches):
    pca = PCA.fit(patches, 8)
    y = pca.analysis(patches)
    torch.testing.assert_close(pca.synthesis(y[:, :3]), PCA.fit(patches, 3)(patches).x_hat)


def test_a_fit_travels_in_a_state_dict(patches):
    pca, copy = PCA.fit(patches, 3), PCA(12, 3)
    copy.load_state_dict(pca.state_dict())
    assert torch.equal(copy(patches).x_hat, pca(patches).x_hat)
    assert not list(pca.parameters())


def test_patches_that_do_not_vary_lose_nothing():
    pca = PCA.fit(torch.full((9, 4), 0.5), 2)
    assert pca.lost() == pca.lost(0) == 0
    assert torch.equal(pca(torch.full((3, 4), 0.5)).x_hat, torch.full((3, 4), 0.5))


def test_what_cannot_be_fitted_or_coded_is_refused(patches):
    for bad, message in (
        (lambda: PCA.fit(patches[:3], 4), "Got 3 patches for 4 units"),
        (lambda: PCA.fit(patches, 13), "Got 13 units for 12 pixels|at least as many"),
        (lambda: PCA.fit(patches.int()), "expected floats"),
        (lambda: PCA.fit(patches[0]), "expected floats"),
        (lambda: PCA(4, 0), "Got 0 units for 4 pixels"),
        (lambda: PCA.fit(patches, 2)(patches[:, :5]), r"expected floats \(B, 12\)"),
        (lambda: PCA.fit(patches, 2).synthesis(patches), r"expected floats \(B, 2\)"),
    ):
        with pytest.raises(InputError, match=message):
            bad()


@pytest.mark.parametrize("sizes", [(3, 3), (1, 1), (2, 5), (5, 2)])
def test_angles_agree_with_scipy(sizes):
    first, second = draw(sizes[0], 7), draw(sizes[1], 7, seed=1)
    expected = np.rad2deg(scipy.linalg.subspace_angles(first.T.numpy(), second.T.numpy()))
    np.testing.assert_allclose(principal_angles(first, second), expected[::-1], atol=1e-9)


def test_angles_depend_on_the_subspaces_alone():
    first, mixture = draw(3, 6), draw(3, 3, seed=1)
    assert principal_angles(first, mixture @ first).max() < 1e-9
    assert principal_angles(torch.eye(4)[:2], torch.eye(4)[2:]).tolist() == [90, 90]
    assert principal_angles(torch.eye(4)[:1], torch.eye(4)[:3]).tolist() == [0]


def test_tiny_angles_keep_their_digits():
    tiny = 1e-7
    turned = torch.tensor([[1, np.deg2rad(tiny), 0]])
    assert principal_angles(torch.eye(3)[:1], turned).item() == pytest.approx(tiny, rel=1e-6)


def test_vectors_that_span_no_such_subspace_are_refused():
    for first, second in ((torch.eye(3), torch.eye(4)), (torch.ones(3), torch.eye(3))):
        with pytest.raises(InputError, match=r"expected \(k, n\) and \(m, n\)"):
            principal_angles(first, second)
    with pytest.raises(InputError, match="not linearly independent"):
        principal_angles(torch.ones(2, 3), torch.eye(3))
