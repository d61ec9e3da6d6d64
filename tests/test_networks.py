"""The networks: shapes, the paper's parameter counts, and forms that must compute the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedgai.model import PRESETS, CheckpointError, FedGAI
from fedgai.networks.generator import MRFM
from fedgai.networks.layers import conv, pointwise
from fedgai.networks.style import image_statistics

PRESET_NAMES = list(PRESETS)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module", params=PRESET_NAMES)
def model(request: pytest.FixtureRequest) -> FedGAI:
    """Random weights, with BatchNorm statistics and gates that training would have moved from their first values."""
    torch.manual_seed(0)
    model = FedGAI(request.param).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
        elif isinstance(module, MRFM):
            nn.init.constant_(module.gate, 0.3)
    with torch.no_grad():  # spectral norm's power iteration takes place in training mode only
        for _ in range(2):
            features = model.encoder(torch.rand(2, 3, 32, 32) * 2 - 1)
            model.generator(features, torch.rand(1, 2 * sum(model.preset.channels)))
            model.discriminator(model.grams(features))
    return model.eval()


def photo(batch: int = 1, height: int = 48, width: int = 32) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def styles(model: FedGAI, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 2 * sum(model.preset.channels), generator=torch.Generator().manual_seed(2))


def test_the_vgg16_preset_has_the_papers_parameter_counts() -> None:
    model = FedGAI("vgg16")
    assert parameters(model.generator) == 3_550_086
    assert parameters(model.discriminator) == 370_241
    vgg16_to_relu4_3 = 7_635_264
    assert parameters(model.encoder) == vgg16_to_relu4_3


def test_the_edge_preset_is_at_least_ten_times_smaller() -> None:
    edge, vgg16 = FedGAI("edge"), FedGAI("vgg16")
    edge.discriminator.hand = None  # the paper has no judge of hands
    for part in ("encoder", "generator", "discriminator"):
        assert 10 * parameters(getattr(edge, part)) < parameters(getattr(vgg16, part))


def test_an_unknown_preset_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"'resnet'.*edge, vgg16"):
        FedGAI("resnet")


def test_the_encoder_takes_its_maps_before_each_down_sampling(model: FedGAI) -> None:
    maps = model.encoder(photo(2, 64, 32))
    assert [tuple(m.shape) for m in maps] == [
        (2, c, 64 // 2**level, 32 // 2**level) for level, c in enumerate(model.preset.channels)
    ]
    assert all((m >= 0).all() for m in maps)  # after a ReLU


def test_vgg16_maps_are_the_papers_at_256_px() -> None:
    with torch.inference_mode():
        maps = FedGAI("vgg16").encoder(torch.zeros(1, 3, 256, 256))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 256, 256), (128, 128, 128), (256, 64, 64), (512, 32, 32)]


def test_vgg16_input_is_normalised_to_imagenets_statistics() -> None:
    encoder = FedGAI("vgg16").encoder
    x = photo()
    seen = x * encoder.scale + encoder.shift
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((x + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(seen, expected, atol=1e-5)


def test_the_encoder_never_trains(model: FedGAI) -> None:
    model.train()
    assert not model.encoder.training
    assert not any(p.requires_grad for p in model.encoder.parameters())
    model.eval()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 32), (64, 64)])
def test_the_generator_draws_in_the_photographs_size(model: FedGAI, height: int, width: int) -> None:
    with torch.inference_mode():
        sketch = model.generator(model.encoder(photo(2, height, width)), styles(model))
    assert sketch.shape == (2, 3, height, width)
    assert sketch.abs().max() <= 1


def test_a_batch_draws_what_each_photograph_draws_alone(model: FedGAI) -> None:
    photos, hands = photo(2), styles(model, 2)
    with torch.inference_mode():
        together = model.generator(model.encoder(photos), hands)
        alone = [model.generator(model.encoder(p[None]), s[None]) for p, s in zip(photos, hands, strict=True)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_a_part_of_a_page_is_drawn_as_within_the_page(model: FedGAI) -> None:
    """With the statistics of the whole page, and far enough from where it was cut."""
    model = FedGAI.load()
    drawer, style = model.for_inference(), model.styles["Dara"].style[None]
    features = drawer.encoder(torch.rand(1, 3, 192, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    part = [level[:, :, 96 >> i :] for i, level in enumerate(features)]
    with torch.no_grad():
        page = drawer.generator(features, style)[:, :, 96:]
        statistics = image_statistics(features)
        drawn = drawer.generator(part, style, origin=torch.tensor([[96, 0]]), statistics=statistics)
        alone = drawer.generator(part, style, origin=torch.tensor([[96, 0]]))
    assert torch.allclose(drawn[:, :, 48:], page[:, :, 48:], atol=1e-3)
    assert not torch.allclose(alone[:, :, 48:], page[:, :, 48:], atol=1e-3)


def test_every_parameter_of_generator_and_discriminator_gets_a_gradient(model: FedGAI) -> None:
    model.train()
    features = model.encoder(photo(2))
    sketch = model.generator(features, styles(model, 2))
    loss = (model.discriminator(model.grams(model.encoder(sketch)), styles(model, 2)) - 1).square().mean()
    loss.backward()
    # the stroke code is learned where it is known: the drawing's gradient is kept from it
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None and "style_head.code" not in n]
    model.zero_grad()
    model.eval()
    assert not without


def test_the_gate_starts_closed() -> None:
    for preset in PRESET_NAMES:
        for mrfm in FedGAI(preset).generator.mrfm:
            assert mrfm.gate.shape == (1,) and mrfm.gate.item() == 0


def test_a_closed_gate_lets_the_finer_map_through_pooled_only() -> None:
    torch.manual_seed(0)
    mrfm = MRFM(8, 4, separable=False, spectral=False).eval()
    x, y = torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)
    peaks_kept = F.interpolate(F.max_pool2d(x, 2), scale_factor=2)  # another x of the same pooled map
    assert torch.allclose(mrfm(x, y), mrfm(peaks_kept, y), atol=1e-6)
    nn.init.ones_(mrfm.gate)
    assert not torch.allclose(mrfm(x, y), mrfm(peaks_kept, y), atol=1e-2)


@pytest.mark.parametrize("separable", [True, False])
def test_mrfm_doubles_the_size_and_takes_c_to_the_next_width(separable: bool) -> None:
    mrfm = MRFM(8, 4, separable=separable, spectral=not separable)
    assert mrfm(torch.randn(2, 8, 12, 8), torch.randn(2, 8, 6, 4)).shape == (2, 4, 12, 8)


def test_separable_mrfm_equals_upsampling_before_the_pointwise_convolution() -> None:
    torch.manual_seed(0)
    mrfm = MRFM(8, 4, separable=True, spectral=False).eval()
    nn.init.constant_(mrfm.gate, 0.5)
    x, y = torch.randn(1, 8, 12, 8), torch.randn(1, 8, 6, 4)
    joined = torch.cat((mrfm.down(F.max_pool2d(x, 2)), y), 1)
    joined = mrfm.point(F.interpolate(joined, scale_factor=2, mode="bilinear", align_corners=False))
    in_the_papers_order = mrfm.out(mrfm.join(joined) + mrfm.gate * x)
    assert torch.allclose(mrfm(x, y), in_the_papers_order, atol=1e-5)


def test_the_discriminator_sees_gram_matrices_and_gives_a_map_of_logits(model: FedGAI) -> None:
    grams = model.grams(model.encoder(photo(2)))
    rows = model.preset.rows
    assert [tuple(g.shape) for g in grams] == [(2, c, c) for c in model.preset.channels]
    assert model.discriminator.pool(grams).shape == (2, 4 * rows, 14, 14)
    assert model.discriminator.hidden(grams).shape == (2, rows, 7, 7)
    assert model.discriminator(grams).shape == (2, 1, 3, 3)


def test_the_discriminator_takes_any_image_size(model: FedGAI) -> None:
    for side in (16, 64):
        assert model.discriminator(model.grams(model.encoder(photo(1, side, side)))).shape == (1, 1, 3, 3)


def test_the_form_for_inference_draws_the_same(model: FedGAI) -> None:
    fast = model.for_inference()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in [*fast.encoder.modules(), *fast.generator.modules()])
    with torch.inference_mode():
        style = styles(model)
        features = model.encoder(photo())
        for ours, theirs in zip(features, fast.encoder(photo()), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-4)
        sketch = model.generator(features, style)
        assert sketch.std() > 1e-3  # not merely two blank pages
        assert torch.allclose(sketch, fast.generator(fast.encoder(photo()), style), atol=1e-4)


def test_the_form_for_inference_is_a_copy(model: FedGAI) -> None:
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.for_inference()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (6, 4)])
def test_upconv_is_upsampling_and_convolution_to_the_border(height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = conv(6, 5, up=True).double()
    x = torch.randn(2, 6, height, width, dtype=torch.float64, requires_grad=True)

    def published(x: torch.Tensor) -> torch.Tensor:
        wide = F.pad(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), (1, 1, 1, 1), mode="reflect")
        return F.conv2d(wide, layer.weight, layer.bias)

    grad = torch.randn(2, 5, 2 * height, 2 * width, dtype=torch.float64)
    for memory in (torch.contiguous_format, torch.channels_last):
        mine, theirs = layer(x.to(memory_format=memory)), published(x)
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-12)
        leaves = [x, layer.weight, layer.bias]
        for a, b in zip(torch.autograd.grad(mine, leaves, grad), torch.autograd.grad(theirs, leaves, grad), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("bias", [True, False])
def test_a_pointwise_convolution_is_one_on_one_core_too(memory_format: torch.memory_format, bias: bool) -> None:
    """As a product of matrices, with the gradients of what is needed; and what comes out may be changed in place."""
    random = torch.Generator().manual_seed(24)
    x = torch.randn(2, 5, 6, 7, generator=random).contiguous(memory_format=memory_format).requires_grad_()
    weight = torch.randn(4, 5, 1, 1, generator=random).requires_grad_()
    shift = torch.randn(4, generator=random).requires_grad_() if bias else None
    leaves = [leaf for leaf in (x, weight, shift) if leaf is not None]
    wanted = F.leaky_relu(F.conv2d(x, weight, shift), 0.1)
    gradient = torch.randn(wanted.shape, generator=random)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = F.leaky_relu(pointwise(x, weight, shift), 0.1, inplace=True)
        assert found.is_contiguous(memory_format=memory_format) and torch.allclose(found, wanted, atol=1e-5)
        for needed in (leaves, leaves[:1], leaves[1:2]):
            both = (torch.autograd.grad(drawn, needed, gradient, retain_graph=True) for drawn in (found, wanted))
            assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*both, strict=True))
    finally:
        torch.set_num_threads(threads)
