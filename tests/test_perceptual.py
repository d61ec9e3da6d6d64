"""Inception's and LPIPS's features against other computations of them, with random weights in the true architectures."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers.drawn_pairs import draw_pairs
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai import torchvision_ops
from fedgai.evaluation.metrics import evaluate
from fedgai.evaluation.perceptual import LPIPS_LEVELS, Inception, Lpips
from fedgai.public_weights import WeightsError

for library in ("lpips", "torch_fidelity"):
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed", allow_module_level=True)


class Pools:
    """torch.nn.functional, but an average leaves out the padding, as TensorFlow's does."""

    def __getattr__(self, name: str) -> object:
        return getattr(F, name)

    def avg_pool2d(self, x: Tensor, **options: object) -> Tensor:
        return F.avg_pool2d(x, **options, count_include_pad=False)


@pytest.fixture(scope="module")
def inception() -> ModuleType:
    """torchvision's module. It is imported here, and not by every test process while it looks for tests: it takes seconds."""
    torchvision_ops.declare_missing()
    from torchvision.models import inception

    return inception


def last_block(inception: ModuleType) -> nn.Module:
    """The last block of TensorFlow's graph takes a maximum where torchvision's takes an average."""

    class LastBlock(inception.InceptionE):
        def _forward(self, x: Tensor) -> list[Tensor]:
            real, inception.F = inception.F, Pools()
            inception.F.avg_pool2d = lambda x, **options: F.max_pool2d(x, **options)
            try:
                return super()._forward(x)
            finally:
                inception.F = real

    return LastBlock(2048)


@pytest.fixture(scope="module")
def inception_net(inception: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """torchvision's Inception-v3 made into FID's, and its weights in a file."""
    torch.manual_seed(24)
    net = inception.Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    net.Mixed_7c = last_block(inception)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.001
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.05, 0.3)
    net.fc, fc = nn.Identity(), net.fc
    file = tmp_path_factory.mktemp("inception") / "model.safetensors"
    tensors = {**net.state_dict(), "fc.weight": fc.weight, "fc.bias": fc.bias}
    save_file({name: t.detach().contiguous() for name, t in tensors.items() if "num_batches" not in name}, file)
    return net.eval(), file


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Path]:
    """VGG-16's convolutions with random values under timm's names, and something of its classifier."""
    torch.manual_seed(24)
    tensors, before = {"head.fc.bias": torch.zeros(1000)}, 3
    for convs, width in zip(LPIPS_LEVELS, (64, 128, 256, 512, 512), strict=True):
        for n in convs:
            tensors[f"features.{n}.weight"] = torch.randn(width, before, 3, 3) * (2 / (9 * before)) ** 0.5
            tensors[f"features.{n}.bias"] = torch.randn(width) * 0.1
            before = width
    file = tmp_path_factory.mktemp("vgg16") / "model.safetensors"
    save_file(tensors, file)
    return tensors, file


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """TensorFlow 1's bilinear of (H, W, C): pixels lie at whole numbers, not at halves."""
    for _ in range(2):
        at = np.arange(side) * picture.shape[0] / side
        low = at.astype(int)
        high, share = np.minimum(low + 1, picture.shape[0] - 1), (at - low)[:, None, None]
        picture = (picture[low] * (1 - share) + picture[high] * share).swapaxes(0, 1)
    return picture


def test_inceptions_features_against_torchvisions(
    inception: ModuleType, inception_net: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, file = inception_net
    monkeypatch.setenv("FEDGAI_INCEPTION", str(file))
    monkeypatch.setattr(inception, "F", Pools())
    pictures = torch.from_numpy(np.random.default_rng(24).integers(0, 256, (2, 3, 80, 64), dtype=np.uint8))
    features = Inception()(pictures)
    at_299 = np.stack([resized(p.permute(1, 2, 0).double().numpy(), 299).transpose(2, 0, 1) for p in pictures])
    with torch.inference_mode():
        expected = net(torch.from_numpy((at_299 - 128) / 128).float())
    assert features.shape == (2, 2048)
    assert expected.std() > 0.01 and (expected[0] - expected[1]).abs().max() > 0.01
    apart = (features - expected).norm() / (expected - expected.mean(0)).norm()  # of what tells the two pictures apart
    assert apart < 2e-3
    monkeypatch.setattr(inception, "F", F)  # torchvision's own averages are seen by this
    with torch.inference_mode():
        assert (net(torch.from_numpy((at_299 - 128) / 128).float()) - expected).norm() > 10 * (features - expected).norm()


def test_lpips_against_a_computation_by_hand(vgg16: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_ops.declare_missing()
    import lpips

    tensors, file = vgg16
    monkeypatch.setenv("FEDGAI_VGG16", str(file.parent))  # its folder will do
    a, b = torch.rand(2, 2, 3, 64, 48) * 2 - 1
    linear = torch.load(Path(lpips.__file__).parent / "weights/v0.1/vgg.pth", map_location="cpu", weights_only=True)
    expected = torch.zeros(2)
    x = torch.cat([a, b])
    x = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    for level, convs in enumerate(LPIPS_LEVELS):
        x = F.max_pool2d(x, 2) if level else x
        for n in convs:
            x = F.conv2d(x, tensors[f"features.{n}.weight"], tensors[f"features.{n}.bias"], padding=1).relu()
        unit = x / x.square().sum(1, keepdim=True).sqrt()
        apart = (unit[:2] - unit[2:]).square()
        expected += (apart * linear[f"lin{level}.model.1.weight"][0, :, 0, 0][:, None, None]).sum(1).mean((1, 2))
    lpips_of = Lpips()
    torch.testing.assert_close(lpips_of(a, b), expected, rtol=1e-4, atol=1e-6)
    assert (expected > 0.01).all() and lpips_of(a, a).abs().max() < 1e-7
    assert sum(p.numel() for p in lpips_of.parameters()) < 15_000_000  # without the classifier


@pytest.mark.parametrize("network", [Inception, Lpips])
def test_what_is_missing_is_said_in_one_sentence(
    network: type, inception_net: tuple, vgg16: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, other = ("FEDGAI_INCEPTION", vgg16[1]) if network is Inception else ("FEDGAI_VGG16", inception_net[1])
    pickled = tmp_path / "weights.pth"
    torch.save({"fc.bias": torch.zeros(3)}, pickled)
    for named, message in (
        (tmp_path / "none.safetensors", "neither a file"),
        (pickled, "not a safetensors file"),
        (other, "does not hold"),
    ):
        monkeypatch.setenv(setting, str(named))
        with pytest.raises(WeightsError, match=message) as error:
            network()
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
    monkeypatch.setenv(setting, str(inception_net[1] if network is Inception else vgg16[1]))
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(WeightsError, match=r'not installed: pip install "\.\[metrics\]"'):
        network()
    monkeypatch.delenv(setting)
    with pytest.raises(WeightsError, match=f"set {setting} to [a-z0-9]+/[a-z0-9._-]+, on the Hub .*, and pip install"):
        network()


def test_evaluate_with_both_networks(
    inception_net: tuple, vgg16: tuple, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FID and KID of the features that Inception gave, FID by singular values, KID by torch-fidelity."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    monkeypatch.setenv("FEDGAI_INCEPTION", str(inception_net[1]))
    monkeypatch.setenv("FEDGAI_VGG16", str(vgg16[1]))
    given: dict[type, list[Tensor]] = {Inception: [], Lpips: []}
    for network in given:

        def forward(self: nn.Module, *x: Tensor, real: object = network.forward, all_of: list = given[network]) -> Tensor:
            all_of.append(real(self, *x))
            return all_of[-1]

        monkeypatch.setattr(network, "forward", forward)
    result = evaluate(draw_pairs(tmp_path / "Ada", count=3), tiny_model_dir, size=64)
    assert not result["missing"]
    drawn, real = (torch.cat(given[Inception][i::2]) for i in (0, 1))
    a, b = drawn.double(), real.double()  # tr (S_a S_b)^1/2 is the sum of the singular values of A B' / (n - 1)
    x, y = a - a.mean(0), b - b.mean(0)
    both = torch.linalg.svdvals(x @ y.T).sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + (x.square().sum() + y.square().sum() - 2 * both) / 2
    assert result["fid"] == pytest.approx(expected.item(), rel=1e-6) and expected > 0
    expected = kid_features_to_metric(drawn, real, kid_subsets=1, kid_subset_size=3, verbose=False)
    assert result["kid"] == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-4)
    assert result["lpips"] == pytest.approx(torch.cat(given[Lpips]).mean().item())
