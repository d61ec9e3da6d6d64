"""Each loss against a plain float64 re-computation of its formula in the paper."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fedgai import torchvision_ops
from fedgai.model import FedGAI
from fedgai.training import losses

CLOSE = {"rel": 2e-5, "abs": 1e-6}


def f64(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def gradient_is_finite(loss: Tensor, *inputs: Tensor) -> bool:
    gradients = torch.autograd.grad(loss, inputs)
    return all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in gradients)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


def normalised(f: np.ndarray) -> np.ndarray:
    return (f - f.mean((2, 3), keepdims=True)) / np.sqrt(f.var((2, 3), keepdims=True) + 1e-6)


@pytest.fixture(scope="module")
def model() -> FedGAI:
    torch.manual_seed(0)
    return FedGAI("edge")


def test_gram_loss(model: FedGAI) -> None:
    generated = [leaf(2, c, s, s, seed=c) for c, s in ((4, 16), (8, 8), (16, 4), (32, 2))]
    real = [leaf(2, c, s, s, seed=c + 1) for c, s in ((4, 16), (8, 8), (16, 4), (32, 2))]
    loss = losses.gram_loss(model.grams(generated), model.grams(real))

    expected = 0.0
    for g, r in zip(generated, real, strict=True):
        _, c, h, w = g.shape
        g, r = (np.einsum("bihw,bjhw->bij", f64(f), f64(f)) / (c * h * w) for f in (g, r))
        expected += 100 * np.mean((g - r) ** 2)
    assert loss.item() == pytest.approx(expected, **CLOSE)
    assert gradient_is_finite(loss, *generated)
    assert losses.gram_loss(model.grams(real), model.grams(real)).item() == 0


def test_a_sketchs_gram_matrix_is_the_papers_and_does_not_depend_on_its_batch(model: FedGAI) -> None:
    features = [leaf(1, 8, 6, 6), leaf(1, 8, 6, 6, seed=1)]
    alone = [model.grams([f])[0] for f in features]
    together = model.grams([torch.cat(features)])[0]
    assert torch.allclose(torch.cat(alone), together, atol=1e-7)
    f = f64(features[0])[0].reshape(8, 36)
    assert np.allclose(f64(alone[0])[0], f @ f.T / (1 * 8 * 6 * 6), atol=1e-6)  # the paper's B * C * H * W with B = 1


def test_the_gradients_of_gram_matrices_are_those_of_their_definition(model: FedGAI) -> None:
    """The first and the second: attacks on updates (``experiments.inversion``) take both."""

    def defined(x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bihw,bjhw->bij", x, x) / x[0].numel()

    weight, found = torch.randn(8, 8, generator=torch.Generator().manual_seed(1)), []
    for gram in (defined, lambda x: model.grams([x])[0]):
        x = leaf(2, 8, 6, 5)
        (first,) = torch.autograd.grad((weight * gram(x).exp()).sum(), [x], create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), [x])
        found.append((first, second))
    for one, two in zip(*found, strict=True):
        assert one.abs().max() > 0 and torch.allclose(one, two, rtol=1e-4, atol=1e-6)


def test_near_loss_compares_means_of_nine_pixels() -> None:
    drawn, target = leaf(2, 3, 9, 11), leaf(2, 3, 9, 11, seed=1)
    loss = losses.near_loss(drawn, target)
    means = [torch.nn.functional.avg_pool2d(x, 3, 1) for x in (drawn, target)]
    assert loss.item() == pytest.approx((means[0] - means[1]).abs().mean().item(), **CLOSE)
    assert gradient_is_finite(loss, drawn)


def test_hinge() -> None:
    real, fake = leaf(3, 1, 3, 3), leaf(3, 1, 3, 3, seed=1)
    loss = losses.hinge_discriminator(real, fake)
    expected = np.maximum(0, 1 - f64(real)).mean() + np.maximum(0, 1 + f64(fake)).mean()
    assert loss.item() == pytest.approx(expected, **CLOSE)
    assert gradient_is_finite(loss, real, fake)
    assert losses.hinge_discriminator(torch.full((2,), 1.5), torch.full((2,), -1.5)).item() == 0
    assert losses.hinge_generator(fake).item() == pytest.approx(-f64(fake).mean(), **CLOSE)


def test_cosine_loss() -> None:
    generated, real = leaf(2, 16, 4, 4), leaf(2, 16, 4, 4, seed=1)
    loss = losses.cosine_loss(generated, real)
    expected = 0.5 * (1 - cosine(f64(generated).mean((2, 3)), f64(real).mean((2, 3))))
    assert loss.item() == pytest.approx(expected, **CLOSE)
    assert gradient_is_finite(loss, generated)
    assert losses.cosine_loss(generated, -generated).item() == pytest.approx(1)
    assert losses.cosine_loss(generated, real.mean((2, 3))).item() == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize(("n", "c"), [(2, 8), (8, 16), (32, 5)])
def test_feddecorr(n: int, c: int) -> None:
    hidden = leaf(n, c)
    loss = losses.feddecorr_loss(hidden)

    x = f64(hidden)
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    k = z.T @ z
    off_diagonal = [k[i, j] ** 2 for i in range(c) for j in range(c) if i != j]
    assert loss.item() == pytest.approx(np.mean(off_diagonal) / n, rel=1e-4)
    assert n == 2 or gradient_is_finite(loss, hidden)  # two rows always correlate fully, so the gradient is 0
    pooled = losses.feddecorr_loss(hidden[:, :, None, None].expand(-1, -1, 7, 7))
    assert pooled.item() == pytest.approx(loss.item(), rel=1e-4)


def test_feddecorr_is_about_one_without_correlation_and_grows_with_the_batch_under_collapse() -> None:
    independent = np.mean([losses.feddecorr_loss(leaf(16, 64, seed=s)).item() for s in range(8)])
    assert independent == pytest.approx(1 - 1 / 16, abs=0.05)
    collapsed = losses.feddecorr_loss(leaf(16, 1).expand(-1, 64))
    assert collapsed.item() == pytest.approx(16 - 2 + 1 / 16, rel=1e-3)


def test_feddecorr_of_one_row_is_exactly_zero_as_the_authors_code_always_is() -> None:
    hidden = leaf(1, 8)
    loss = losses.feddecorr_loss(hidden)
    assert loss.item() == 0
    assert torch.autograd.grad(loss, hidden)[0].abs().sum() == 0


def test_feddecorr_survives_a_dead_dimension() -> None:
    hidden = leaf(8, 4)
    loss = losses.feddecorr_loss(hidden * torch.tensor([1.0, 1, 1, 0]))
    assert gradient_is_finite(loss, hidden)


def test_paired_semantic(model: FedGAI) -> None:
    semantic = losses.PairedSemantic(model.encoder)
    photo, sketch, generated = (torch.tanh(leaf(2, 3, 32, 32, seed=s)).detach() for s in range(3))
    generated.requires_grad_()
    features = model.encoder(generated)
    loss = semantic(generated, features, semantic.target(photo, sketch))

    g, s = ([f64(f) for f in model.encoder(x)] for x in (generated, sketch))
    expected = 1 - cosine(g[3].mean((2, 3)), s[3].mean((2, 3)))
    expected += sum(np.mean((normalised(g[level]) - normalised(s[level])) ** 2) for level in (2, 3))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert gradient_is_finite(loss, generated)
    assert semantic(sketch, model.encoder(sketch), semantic.target(photo, sketch)).item() == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def visual() -> torch.nn.Module:
    """A small random CLIP image tower."""
    torchvision_ops.declare_missing()
    transformer = pytest.importorskip("open_clip.transformer")
    torch.manual_seed(0)
    return transformer.VisionTransformer(image_size=32, patch_size=16, width=32, layers=6, heads=2, mlp_ratio=2.0, output_dim=16)


def test_clip_semantic(visual: torch.nn.Module) -> None:
    semantic = losses.ClipSemantic(visual)
    photo, sketch, generated = (torch.tanh(leaf(2, 3, 32, 32, seed=s)).detach() for s in range(3))
    generated.requires_grad_()
    loss = semantic(generated, [], semantic.target(photo, sketch))

    tokens: list[np.ndarray] = []
    handle = visual.transformer.resblocks[4].register_forward_hook(lambda *a: tokens.append(f64(a[2])))
    mean, std = torch.tensor(losses.CLIP_MEAN)[:, None, None], torch.tensor(losses.CLIP_STD)[:, None, None]
    embeddings = [f64(visual(((x + 1) / 2 - mean) / std)) for x in (generated, sketch, photo)]
    handle.remove()
    of_generated, _, of_photo = (t[:, 1:] for t in tokens)  # the class token is not part of the map
    expected = 1 - cosine(*embeddings[:2]) + 100 * np.mean((of_generated - of_photo) ** 2)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert gradient_is_finite(loss, generated)


def test_clip_embedding_is_the_towers_own_with_its_gradient(visual: torch.nn.Module) -> None:
    """Of the last block one token is computed where the tower computes all."""
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(24)).requires_grad_()
    mean, std = torch.tensor(losses.CLIP_MEAN)[:, None, None], torch.tensor(losses.CLIP_STD)[:, None, None]
    weights = torch.linspace(-1, 1, visual.output_dim)
    found = []
    for embedding in (losses.ClipSemantic(visual).embed(image)[0], visual(((image + 1) / 2 - mean) / std)):
        found.append((embedding, torch.autograd.grad((embedding @ weights).sum(), image)[0]))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_clip_semantic_takes_any_size_and_does_not_train(visual: torch.nn.Module) -> None:
    semantic = losses.ClipSemantic(visual).train()
    assert not semantic.visual.training
    assert not any(p.requires_grad for p in semantic.parameters())
    big = torch.zeros(1, 3, 56, 56)
    assert semantic(big, [], semantic.target(big, big)).item() == pytest.approx(0, abs=1e-6)


def test_without_clip_the_paired_loss_is_chosen(model: FedGAI, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.delenv("FEDGAI_CLIP", raising=False)
    with caplog.at_level("INFO", "fedgai.training.losses"):
        assert losses.semantic_loss(model).name == "paired"
    assert "paired" in caplog.text


def test_clip_weights_that_cannot_be_used_are_refused(
    model: FedGAI, visual: torch.nn.Module, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, write in {
        "pickle.pt": lambda f: torch.save({}, f),
        "missing.safetensors": lambda f: None,
        "other.safetensors": lambda f: save_file(visual.state_dict(), f),
    }.items():
        write(str(tmp_path / name))
        monkeypatch.setenv("FEDGAI_CLIP", str(tmp_path / name))
        with pytest.raises(ValueError, match=name):
            losses.semantic_loss(model)


def test_clip_weights_are_loaded_from_a_whole_model_in_half_precision(
    model: FedGAI, visual: torch.nn.Module, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import transformer

    small = copy.deepcopy(visual)
    monkeypatch.setattr(transformer, "VisionTransformer", lambda **_: small)
    tensors = {f"visual.{k}": v.half() for k, v in visual.state_dict().items()} | {"logit_scale": torch.ones(1)}
    save_file(tensors, str(tmp_path / "clip.safetensors"))
    monkeypatch.setenv("FEDGAI_CLIP", str(tmp_path / "clip.safetensors"))
    semantic = losses.semantic_loss(model)
    assert semantic.name == "clip"
    image = torch.zeros(1, 3, 32, 32)
    assert torch.allclose(semantic.embed(image)[0], losses.ClipSemantic(visual).embed(image)[0], atol=2e-2)
