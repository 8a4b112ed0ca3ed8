import pytest
import safetensors.torch
import torch

from course_lib.errors import InputError
from course_lib.images import photograph, to_tensor
from course_lib.joint import (
    LADDER,
    NAME,
    JointBalle2017,
    JointConfig,
    build,
    joint_from,
    joint_objective,
    load_joint_start,
)
from course_lib.losses import rate_distortion
from course_lib.models.balle2017 import Balle2017, Balle2017Config
from course_lib.weights import load_model, save_model

LMBDAS = (0.002, 0.01, 0.04)
TINY = JointConfig(num_channels=6, num_latents=8, lmbdas=LMBDAS)


@pytest.fixture
def joint():
    """With gains as after training: of their own for each rung and channel."""
    torch.manual_seed(0)
    model = JointBalle2017(TINY)
    with torch.no_grad():
        for k in range(len(LMBDAS)):
            model.enc[k].copy_(3 + k + torch.randn(8))
            model.dec[k].copy_(-3 - k + torch.randn(8))
    return model.eval()


@pytest.fixture(scope="module")
def x():
    return to_tensor(photograph("chelsea")[:64, :96])


def test_a_rung_that_is_split_off_gives_the_latents_and_pictures_of_the_whole(joint, x):
    for k in range(len(LMBDAS)):
        rung = joint.rung(k)
        gain = joint.enc[k].exp()[:, None, None]
        y_hat = (joint.analyse(x) * gain).round()
        assert rung.gain == 1 and y_hat.abs().max() > 3
        assert torch.equal(rung.analyse(x).round(), y_hat)
        torch.testing.assert_close(rung(x).x_hat, joint(x, [k]).x_hat, atol=1e-4, rtol=0)
        torch.testing.assert_close(rung(x).bits, joint(x, [k]).bits)
    assert joint.rung(0)(x).bits < joint.rung(2)(x).bits


def test_every_picture_of_a_batch_has_its_own_rung(joint, x):
    batch = torch.cat([x, x.flip(-1), x])
    whole = joint(batch, [2, 0, 1])
    for i, k in enumerate([2, 0, 1]):
        alone = joint(batch[i : i + 1], [k])
        torch.testing.assert_close(whole.bits[i], alone.bits[0])
        torch.testing.assert_close(whole.x_hat[i], alone.x_hat[0])


def test_all_rungs_are_validated_and_weighted_by_the_root_of_lambda(joint, x):
    values = joint_objective(joint, x, torch.tensor(1.0))
    expected = 0
    for k, lmbda in enumerate(LMBDAS):
        output = joint.rung(k)(x)
        loss = rate_distortion(output.bits, output.x_hat, x, lmbda)["loss"]
        assert values[f"loss_{lmbda:g}"].item() == pytest.approx(loss.item(), rel=1e-4)
        expected += (0.01 / lmbda) ** 0.5 * loss.item() / 3
    assert values["loss"].item() == pytest.approx(expected, rel=1e-4)


def test_a_batch_of_as_many_pictures_as_rungs_trains_every_one(joint, x):
    joint.train()
    joint_objective(joint, x.expand(3, -1, -1, -1), torch.tensor(0.0))["loss"].backward()
    assert all(gain.grad is not None for gain in [*joint.enc, *joint.dec])
    assert all(p.grad is not None for p in joint.priors.parameters())


def test_rungs_from_one_network_are_that_network_retargeted(x):
    torch.manual_seed(0)
    one = Balle2017(Balle2017Config(6, 8, gain=40.0)).eval()
    joint = joint_from(one, 0.01, LMBDAS).eval()
    for k, lmbda in enumerate(LMBDAS):
        aim = joint_from(one, 0.01, LMBDAS).rung(k)
        torch.testing.assert_close(joint(x, [k]).bits, aim(x).bits)
        gains = joint.enc[k].detach().exp()
        assert gains == pytest.approx([40 * (lmbda / 0.01) ** 0.5] * 8)
    torch.testing.assert_close(joint(x, [1]).bits, one(x).bits)


def test_a_joint_network_comes_back_from_its_file(joint, x, tmp_path):
    save_model(tmp_path / "w", joint, {"model": NAME})
    found = load_model(load_joint_start(tmp_path / "w"), NAME, build)
    assert found.config == TINY
    torch.testing.assert_close(found(x, [2]).bits, joint(x, [2]).bits, rtol=0.01, atol=0)


def test_the_bare_state_of_a_ladder_is_a_start_and_other_files_are_none(tmp_path, x):
    bare = JointBalle2017(JointConfig(6, 8)).eval()
    safetensors.torch.save_file(bare.state_dict(), tmp_path / "bare")
    found = load_model(load_joint_start(tmp_path / "bare"), NAME, build)
    assert found.config == JointConfig(6, 8, LADDER)
    assert torch.equal(found(x, [3]).bits, bare(x, [3]).bits)
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(InputError, match="not a weights file of the course"):
        load_joint_start(tmp_path / "other")


@pytest.mark.parametrize("lmbdas", [(), (0.01, 0.01), (0.02, 0.01), (-1.0, 1.0)])
def test_ladders_that_do_not_rise_are_refused(lmbdas):
    with pytest.raises(InputError, match="rise"):
        JointConfig(lmbdas=lmbdas)
