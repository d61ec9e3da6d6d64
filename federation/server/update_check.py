"""Checks one designer's answer as it arrives, and says why it does not count if it does not (docs/aggregation.md).

Nothing that an answer claims is trusted. No array is allocated because a header asks for it, nothing is unpickled, and texts from
outside are cut before they are shown. An answer that fails is left out, with its designer's name and a sentence.
"""

from __future__ import annotations

import hashlib
import io
import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from federation.server.update_spec import UpdateSpec, npy_header
from federation.wire import choice_from, choice_record
from fedgai.errors import FedGAIError
from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.networks.style import Signature, split
from fedgai.text import printable

PAIRS = "num-examples"  # Flower's usual key for how much an update weighs
MAX_PAIRS, MAX_SKETCHES, MAX_METRICS, MAX_METRIC, MAX_STATISTIC = 100_000, 1_000_000, 32, 1e6, 1e4
MAX_NAME, MAX_DESCRIPTION = 40, 300  # characters
MAX_HEADER = 256  # bytes of a numpy header; numpy parses it as Python, so a stranger's must be too short to be a bomb
PIECE = 8192  # numbers in one step of arithmetic: stays in the cache, and uses one core, while others draw sketches
BATCHNORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
ERRORS = {
    1: "the app could not be loaded on its machine",
    2: "training at home stopped with an error",
    3: "its answer was not there, or not whole, in time",
    4: "it did not answer in time",
    5: "it was not connected",
    6: "one of its client mods refused",
    7: "it refused the app's code",
    8: "the app on its machine ended unexpectedly",
}


class UpdateError(ValueError):
    """Why a reply does not count; a sentence that the round's report can show."""


@dataclass
class Verdict:
    """What became of one reply.

    Attributes:
        node_id: Flower's number of the designer.
        name: as approved; "designer <node_id>" for one whom nobody named.
        accepted: whether it counts.
        reason: why not, or "".
        pairs: that it was trained on, by its own account.
        share: of the aggregate, in [0, 1]; for the robust methods what it weighed before they chose.
        norm: L2 distance from the aggregate that was sent.
        metrics: its scalars, by its own account.
        sha256: of its float16 numbers in the spec's order, or "" where it was not even an update.
        bytes: of its arrays.
    """

    node_id: int
    name: str
    accepted: bool = False
    reason: str = ""
    pairs: int = 0
    share: float = 0.0
    norm: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    sha256: str = ""
    bytes: int = 0


class UpdateCheck:
    """Checks the answers of one round.

    Args:
        spec: what an update is.
        names: node id -> approved name. An approved name wins over the one that an answer carries.
        number: of the round, over all seasons; an answer must name it.
        sent: (spec.size,) float32, the aggregate that designers started from.
        asked: who may answer; None for anybody.
        earlier: SHA-256s of earlier rounds' updates; the same bytes again are a replay.

    Attributes:
        signatures: node id -> signature, as they arrive, of answers that may still be left out.
    """

    def __init__(
        self,
        spec: UpdateSpec,
        names: Mapping[int, str],
        number: int,
        sent: np.ndarray,
        asked: Iterable[int] | None,
        earlier: set[str],
    ) -> None:
        self.spec, self.names, self.number, self.sent, self.earlier = spec, names, number, sent, earlier
        self.asked = None if asked is None else set(asked)
        self.seen: set[int] = set()
        self.taken = set(names.values())
        self.signatures: dict[int, Signature] = {}
        self._headers = {name: npy_header(shape) for name, shape in spec.shapes.items()}
        self._row = np.empty(spec.size, "<f2")  # one for all: a fresh one for each would leave holes in the heap

    def check(self, message: Message, verdict: Verdict) -> np.ndarray:
        """Check everything except how large the norm may be. Fills in ``verdict``, and keeps the signature.

        Returns:
            (size,) float16, overwritten by the next call.
        """
        if self.asked is not None and verdict.node_id not in self.asked:
            raise UpdateError("it was not asked in this round")
        if verdict.node_id in self.seen:
            raise UpdateError("it has answered already; its first answer counts")
        self.seen.add(verdict.node_id)
        if message.has_error():  # its text may hold a designer's paths: it goes no further
            raise UpdateError(ERRORS.get(message.error.code, "it answered with an error"))
        arrays, metrics, designer = _records(message.content)
        verdict.bytes = sum(len(array.data) for array in arrays.values())
        self._check_origin(designer)
        row = self._check_arrays(arrays)
        verdict.sha256 = hashlib.sha256(row.data).hexdigest()
        if verdict.sha256 in self.earlier:
            raise UpdateError("it is an update of an earlier round again")
        verdict.norm = self._norm(row)
        verdict.pairs, verdict.metrics = _check_metrics(metrics)
        self._check_designer(designer, verdict)
        return row

    def _check_origin(self, designer: ConfigRecord) -> None:
        expected = {"preset": self.spec.preset, "encoder": self.spec.encoder, "release": self.spec.release}
        advice = {
            "preset": "start from the federation's weights",
            "encoder": "start from the federation's weights",
            "release": f"install release {self.spec.release}",
        }
        for key, value in expected.items():
            if designer.get(key) != value:
                raise UpdateError(
                    f"its {key} is {_shown(designer.get(key), 12)}, the federation's is {value[:12]}: {advice[key]}"
                )
        if type(designer.get("round")) is not int or designer["round"] != self.number:
            raise UpdateError(f"it belongs to round {_shown(designer.get('round'), 12)}, this is round {self.number}")

    def _check_arrays(self, arrays: ArrayRecord) -> np.ndarray:
        spec = self.spec
        if extra := [name for name in arrays if name not in spec.shapes]:
            names = [n for n in extra if n in spec.withheld or n.endswith(BATCHNORM_BUFFERS)]
            if names:
                raise UpdateError(f"it carries the BatchNorm tensor {_shown(names[0], 60)}, which must stay at home")
            raise UpdateError(f"it carries {_shown(extra[0], 60)}, which is not shared")
        row, start = self._row, 0
        for name, shape in spec.shapes.items():
            if name not in arrays:
                raise UpdateError(f"{name} is missing")
            array, header = arrays[name], self._headers[name]
            if array.dtype != "float16":
                raise UpdateError(f"{name} is {_shown(array.dtype, 20)}, not float16")
            if tuple(array.shape) != shape:
                raise UpdateError(f"{name} has shape {_shown(tuple(array.shape), 60)}, not {shape}")
            if array.stype != "numpy.ndarray":
                raise UpdateError(f"{name} is not a numpy array")
            end = start + math.prod(shape)
            if not array.data.startswith(header):  # numpy's own bytes for this shape; anything else gets a closer look
                header = _odd_header(name, array.data, shape)
            if len(array.data) - len(header) != 2 * (end - start):
                raise UpdateError(f"{name} has {len(array.data):,} bytes, not {len(header) + 2 * (end - start):,}")
            row[start:end] = np.frombuffer(array.data, "<f2", offset=len(header))
            start = end
        return row

    def _norm(self, row: np.ndarray) -> float:
        """L2 of the update less the aggregate sent. fp16 numbers cannot overflow it, so one that is not finite shows here."""
        squared = 0.0
        for start in range(0, len(row), PIECE):
            piece = slice(start, start + PIECE)
            difference = torch.from_numpy(row[piece]).float().numpy()  # torch converts fp16 ten times as fast as numpy
            difference -= self.sent[piece]
            squared += float(np.dot(difference, difference))
        norm = math.sqrt(squared)
        if not math.isfinite(norm):
            raise UpdateError("it has numbers that are not finite (NaN or infinity)")
        return norm

    def _check_designer(self, designer: ConfigRecord, verdict: Verdict) -> None:
        """What a designer may say about itself; the signature, where there is one, goes into ``signatures``."""
        known = {"round", "encoder", "preset", "release", "style", "sketches", "refined", "adapter", "name", "description"}
        if extra := set(designer) - known - set(choice_record(EVERY_LINE)):
            raise UpdateError(f"it says {_shown(min(extra), 40)} about itself, which nobody asked")
        name = _text(designer, "name", MAX_NAME)
        description = _text(designer, "description", MAX_DESCRIPTION)
        if name and verdict.node_id not in self.names:
            if name in self.taken:
                raise UpdateError(f"the name {name!r} belongs to another designer")
            self.taken.add(name)
            verdict.name = name
        if "style" not in designer:
            if "adapter" in designer:
                raise UpdateError("it has an adapter, but no style signature that it belongs to")
            return  # without a signature, the choice of lines is not used
        style, sketches = designer["style"], designer.get("sketches")
        if type(style) is not bytes or len(style) != 4 * self.spec.style_length:
            raise UpdateError(f"its style signature is not {self.spec.style_length} float32 numbers")
        if type(sketches) is not int or not 1 <= sketches <= MAX_SKETCHES:
            raise UpdateError(f"its number of sketches is not in 1 to {MAX_SKETCHES:,}")
        refined = designer.get("refined", False)
        if type(refined) is not bool:
            raise UpdateError("it does not say whether its style signature was refined")
        numbers = torch.from_numpy(np.frombuffer(style, "<f4").astype(np.float32))
        if not numbers.isfinite().all() or numbers.abs().max() > MAX_STATISTIC:
            raise UpdateError("its style signature has numbers that no encoder gives")
        if any((deviation < 0).any() for _, deviation in split(numbers, self.spec.channels)):
            raise UpdateError("its style signature has negative standard deviations")
        if self.spec.style_bounds is not None and not self.spec.style_bounds.hold(numbers):
            raise UpdateError("its style signature has numbers that no drawing gives")
        adapter = self._adapter(designer)
        about = {"designer": verdict.node_id} | ({"refined": True} if refined or adapter is not None else {})
        choice = _choice(designer)
        signature = Signature(numbers, self.spec.encoder, verdict.name, description, sketches, about, adapter, choice)
        self.signatures[verdict.node_id] = signature

    def _adapter(self, designer: ConfigRecord) -> Tensor | None:
        """(A,) int8; None without one. Any bytes are an adapter: a byte says how much one weight changes, within bounds."""
        sent = designer.get("adapter")
        if sent is None:
            return None
        if type(sent) is not bytes or len(sent) != self.spec.adapter_size or not sent:
            raise UpdateError(f"its adapter is not {self.spec.adapter_size:,} bytes")
        return torch.from_numpy(np.frombuffer(sent, np.int8).copy())


def _choice(designer: ConfigRecord) -> LineChoice:
    try:
        return choice_from(designer)
    except FedGAIError as error:
        raise UpdateError(str(error)) from error


def _records(content: RecordDict) -> tuple[ArrayRecord, MetricRecord, ConfigRecord]:
    """The three records of an answer, and no others."""
    if set(content) == {"arrays", "metrics", "designer"}:
        arrays, metrics, designer = content["arrays"], content["metrics"], content["designer"]
        if isinstance(arrays, ArrayRecord) and isinstance(metrics, MetricRecord) and isinstance(designer, ConfigRecord):
            return arrays, metrics, designer
    raise UpdateError("a reply is the records arrays, metrics and designer, no more and no less")


def _odd_header(name: str, data: bytes, shape: tuple[int, ...]) -> bytes:
    """A header other than this numpy's own. Returns it where it says the same; raises UpdateError. Allocates no array."""
    buffer = io.BytesIO(data[:MAX_HEADER])
    try:
        version = np.lib.format.read_magic(buffer)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        found, fortran, dtype = read(buffer)
    except Exception as error:  # numpy evaluates the header as a literal, which can fail in any way
        raise UpdateError(f"{name} is not in numpy's format") from error
    if dtype.hasobject:
        raise UpdateError(f"{name} holds pickled objects, which are never read")
    if dtype != np.dtype("<f2") or found != shape or (fortran and len(shape) > 1):
        raise UpdateError(f"{name} has a header of {_shown(str(dtype), 20)} {_shown(found, 60)}, not of float16 {shape}")
    return data[: buffer.tell()]


def _check_metrics(metrics: MetricRecord) -> tuple[int, dict[str, float]]:
    """The number of pairs, and all other metrics."""
    pairs = metrics.get(PAIRS)
    if type(pairs) is not int or not 1 <= pairs <= MAX_PAIRS:
        raise UpdateError(f"its number of pairs is not in 1 to {MAX_PAIRS:,}")
    if len(metrics) > MAX_METRICS:
        raise UpdateError(f"it has {len(metrics):,} metrics; {MAX_METRICS} are the most")
    found = {}
    for name, value in metrics.items():
        if len(name) > MAX_NAME or not name.isprintable():
            raise UpdateError("a metric's name is too long or not printable")
        if name == PAIRS:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= MAX_METRIC:
            raise UpdateError(f"its metric {name!r} is not a finite number of sane size")
        found[name] = float(value)
    return pairs, found


def _text(designer: ConfigRecord, key: str, length: int) -> str:
    value = designer.get(key, "")
    if type(value) is not str or len(value) > length or not value.isprintable():
        raise UpdateError(f"its {key} is not up to {length} printable characters")
    return value.strip()


def _shown(value: object, length: int) -> str:
    """A stranger's value in a sentence: one line, printable, cut."""
    text = printable((value if isinstance(value, str) else reprlib.repr(value))[: length + 1])
    if len(text) > length:
        return repr(text[:length] + "…")
    return repr(text) if isinstance(value, str) else text
