"""What many tests need: a small untrained model on disk, and a garment photograph."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

# The test processes, and the servers that they start, share two cores. With more threads each, most of their time goes into
# waiting for one another (a training of 12 s took minutes). Read while numpy, torch and OpenCV are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
# Some containers have Python compile every module again in each process. The tests start more than two hundred.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
import torch
from helpers.garment_picture import draw_garment
from helpers.looked_at_once import keep
from helpers.studio_server import CHROMIUM, ROOT, StudioServer, chromium, untrained
from safetensors.torch import save_file

from fedgai.imports import collector_paused
from fedgai.model import FedGAI
from fedgai.networks.style import Signature

sys.dont_write_bytecode = False  # in this process, too: pytest would rewrite every file of tests again


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of the edge preset: seeded random weights that draw something, three styles in the bank."""
    torch.manual_seed(24)
    model = FedGAI("edge")
    hands = [[(torch.randn(c), torch.rand(c) + 0.5) for c in model.preset.channels] for _ in range(3)]
    styles = [torch.cat([s for level in hand for s in level]) for hand in hands]
    for module in model.modules():  # one pass sets the running statistics, else untrained maps fade away level by level
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    maps = model.encoder.train()(torch.rand(3, 3, 64, 64) * 2 - 1)
    model.generator.train()(maps, torch.stack(styles))
    model.eval()
    names = {"Ada Line": "thin and even", "Bruno Hatch": "hatched in the dark", "Coco Blot": "broad and wet"}
    for style, (name, description) in zip(styles, names.items(), strict=True):
        model.add_style(Signature(style, model.encoder_sha256, name, description, 24))
    model.info = {"round": 3}
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def signature_file(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signature of ``tiny_model_dir``'s encoder that is not in its bank."""
    model = FedGAI.load(tiny_model_dir)
    torch.manual_seed(1)
    file = tmp_path_factory.mktemp("signature") / "guest=1.safetensors"
    signature: Signature = model.signature(torch.rand(1, 3, 24, 24) - 0.5, "Guest", "visiting")
    signature.save(file)
    return file


@pytest.fixture(scope="session")
def vgg16_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-16 under the names of the true file: random up to relu4_3, and little in the place of what must stay unread."""
    generator, tensors, width = torch.Generator().manual_seed(24), {}, 3
    for place, c in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21), (64,) * 2 + (128,) * 2 + (256,) * 3 + (512,) * 3, strict=True):
        tensors[f"features.{place}.weight"] = torch.randn(c, width, 3, 3, generator=generator) * (2 / (9 * width)) ** 0.5
        tensors[f"features.{place}.bias"] = torch.randn(c, generator=generator) / 10
        width = c
    unread = ("features.24", "features.26", "features.28", "pre_logits.fc1", "pre_logits.fc2", "head.fc")
    tensors |= {f"{name}.{kind}": torch.zeros(2) for name in unread for kind in ("weight", "bias")}
    file = tmp_path_factory.mktemp("vgg16") / "model.safetensors"
    save_file(tensors, str(file))
    return file


@pytest.fixture(scope="session")
def garment_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of a garment, 384 x 480 px, as a JPEG."""
    file = tmp_path_factory.mktemp("photo") / "shirt.jpg"
    draw_garment().save(file, quality=92)
    return file


@pytest.fixture(scope="module")
def looked_at_once() -> Iterator[None]:
    """In this module each picture is looked at once, see there. For modules that ask what is done with what was seen."""
    with pytest.MonkeyPatch.context() as patch:
        keep(patch)
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """In this module torch uses one thread. For small networks, which are faster so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole text-to-image pipeline, see there."""
    from helpers import tiny_diffusion

    with collector_paused():
        return tiny_diffusion.save(tmp_path_factory.mktemp("diffusion") / "garments")


@pytest.fixture(scope="session")
def shared_studio() -> Iterator[StudioServer]:
    """One studio for all modules, with the shipped weights, or untrained ones where there are none."""
    shipped = (ROOT / "weights" / "config.json").exists() or os.environ.get("FEDGAI_WEIGHTS")
    running = StudioServer({} if shipped else {"FEDGAI_WEIGHTS": untrained()})
    yield running
    running.process.send_signal(signal.SIGCONT)
    running.stop()


@pytest.fixture(scope="module")
def studio(shared_studio: StudioServer) -> Iterator[StudioServer]:
    """The studio for all modules. It stands still between them: a studio that nobody visits takes 4 % of a core."""
    shared_studio.process.send_signal(signal.SIGCONT)
    yield shared_studio
    shared_studio.process.send_signal(signal.SIGSTOP)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """One browser for all modules: Playwright's synchronous side runs once in a thread."""
    missing = "" if CHROMIUM else "no chromium here: install Debian's, or name one in CHROMIUM"
    try:
        import playwright  # noqa: F401
    except ImportError:
        missing = "playwright is not installed"
    if missing:
        if os.environ.get("CI") or os.environ.get("FEDGAI_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    with chromium() as running:
        yield running


SLOW = (
    "test_adapter",
    "test_api",
    "test_benchmarks",
    "test_buttons",
    "test_cases",
    "test_cli",
    "test_client_app",
    "test_companion",
    "test_companion_accessible",
    "test_companion_hand",
    "test_companion_hostile",
    "test_companion_survives",
    "test_connections",
    "test_content",
    "test_decoders",
    "test_draughtsman",
    "test_draughtsman_masks",
    "test_draughtsman_prints",
    "test_drawings",
    "test_environment",
    "test_federation",
    "test_federation_hostile",
    "test_federation_house",
    "test_federation_survives",
    "test_flower_commands",
    "test_flwr_run",
    "test_fork_server",
    "test_fusion",
    "test_garments",
    "test_gateway",
    "test_gateway_attacks",
    "test_hand_page",
    "test_home",
    "test_host",
    "test_house",
    "test_hub",
    "test_imagine",
    "test_imports",
    "test_inversion",
    "test_join",
    "test_line_choice",
    "test_lines_on_gpu",
    "test_measure",
    "test_package",
    "test_perceptual",
    "test_pipeline",
    "test_pretrained",
    "test_proxy",
    "test_read_only",
    "test_receipt_attacks",
    "test_refine_signature",
    "test_ruled_lines",
    "test_scans",
    "test_server_app",
    "test_simulate",
    "test_strangers",
    "test_strips",
    "test_strokes",
    "test_studio",
    "test_studio_accessible",
    "test_studio_drawing",
    "test_studio_fair",
    "test_studio_federation",
    "test_studio_files",
    "test_studio_gradio",
    "test_studio_imagine",
    "test_studio_limits",
    "test_studio_path",
    "test_studio_repair",
    "test_studio_start",
    "test_superlink_state",
    "test_train",
    "test_train_buttons",
    "test_weights",
    "test_window",
    "test_wire",
    "test_without_posix",
)


# Those that take longest, begun first: processes that take file after file then end at about the same time. Files that mostly
# compute stand in turn with files that mostly wait, for a browser or for Flower: two that compute at once slow each other down.
LONGEST = (
    "test_federation",
    "test_federation_survives",
    "test_client_app",
    "test_host",
    "test_wire",
    "test_refine_signature",
    "test_companion_survives",
    "test_federation_hostile",
    "test_strokes",
    "test_window",
    "test_studio",
    "test_federation_house",
    "test_federation_attacked",
    "test_companion_hostile",
    "test_studio_federation",
    "test_hand_page",
    "test_studio_limits",
    "test_studio_fair",
    "test_scans",
    "test_companion_accessible",
    "test_studio_repair",
    "test_train",
    "test_studio_imagine",
    "test_studio_accessible",
    "test_pipeline",
    "test_house",
    "test_gateway",
    "test_decoders",
    "test_draughtsman",
    "test_flwr_run",
    "test_environment",
    "test_fusion",
    "test_proxy",
    "test_pretrained",
    "test_cli",
    "test_read_only",
    "test_cases",
    "test_package",
    "test_drawings",
    "test_weights",
    "test_join",
    "test_imagine",
    "test_api",
    "test_gateway_attacks",
    "test_studio_path",
    "test_garments",
    "test_ruled_lines",
    "test_kept_cutouts",
    "test_measure",
    "test_style_bounds",
    "test_connections",
    "test_studio_start",
    "test_train_buttons",
    "test_draughtsman_masks",
    "test_companion",
    "test_hub",
    "test_benchmarks",
    "test_inversion",
    "test_content",
    "test_strangers",
    "test_imports",
    "test_draughtsman_prints",
)


# Tests of real processes, ours and Flower's, that talk to each other; beside them, whatever asks for one of these fixtures. One
# that fails is run once more, and `pytest -r R` says so: a machine may stop for seconds in the midst of it. No other test is.
REAL = (
    "test_api::",
    "test_companion_hostile::test_a_companion_in_front",
    "test_companion_survives::",
    "test_federation::",
    "test_federation_attacked::",
    "test_federation_hostile::",
    "test_federation_survives::",
    "test_flwr_run::",
    "test_host::test_goes_on_after_every_death",
    "test_host::test_host_killed",
    "test_host::test_keeper_ends",
    "test_package::",
    "test_proxy::test_a_real_supernode",
    "test_studio_fair::",
    "test_studio_limits::test_photographs_lie",
    "test_studio_limits::test_visitors_who_have_left",
    "test_wire::test_a_designer_joins",
    "test_wire::test_none_of_it_is_in_any_byte",
)
REAL_FIXTURES = {"browser", "own", "superlink"}


def is_real(item: pytest.Item) -> bool:
    """Whether this test drives a browser, or real processes."""
    fixtures = getattr(item, "fixturenames", ())
    return f"{item.path.stem}::{item.name}".startswith(REAL) or not REAL_FIXTURES.isdisjoint(fixtures)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting imports all of the project and of its libraries."""
    with collector_paused():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts servers, browsers or long training, which `make test-fast` leaves out; the longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
        if is_real(item):
            item.add_marker(pytest.mark.flaky(reruns=1))
