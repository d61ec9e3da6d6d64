"""How designers' Discriminators become one: every update is checked as it arrives, then averaged (docs/aggregation.md).

    reply -> check -> a row of fp16 on disk      norms' median, shares' bound -> float64 weighted mean -> fp16

What a reply claims is never believed: no array is allocated from its header, nothing is unpickled, and no text of a
stranger's is shown that was not cut to length. A reply that fails is left out, with its designer's name and a sentence.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import logging
import math
import reprlib
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedMedian,
    FedTrimmedAvg,
    Krum,
    MultiKrum,
    Strategy,
)
from scipy.optimize import brentq
from scipy.special import log_ndtr
from torch.nn.modules.batchnorm import _BatchNorm

from fedgai.model import FedGAI
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.style import Signature
from fedgai.networks.style_bounds import StyleBounds

log = logging.getLogger("flwr")

PAIRS = "num-examples"  # Flower's usual key for how much an update weighs
AGGREGATIONS = ("mean", "trimmed-mean", "median", "krum", "multikrum")
MAX_PAIRS, MAX_SKETCHES, MAX_METRICS, MAX_METRIC, MAX_STATISTIC = 100_000, 1_000_000, 32, 1e6, 1e4
MAX_NAME, MAX_DESCRIPTION = 40, 300  # characters
MAX_HEADER = 256  # bytes of a numpy header; numpy parses it as Python, so a stranger's must be too short to be a bomb
DELTA = 1e-5  # of central differential privacy: the probability with which its epsilon may not hold
PIECE = 8192  # numbers in one step of arithmetic: stays in the cache, and on one core beside whoever draws sketches
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


@dataclass(frozen=True)
class UpdateSpec:
    """What an update of this federation is, to the byte.

    Attributes:
        shapes: name -> shape of every tensor that is shared, in order; all float16.
        withheld: names of BatchNorm tensors, by the modules' types; they stay at home.
        preset, encoder, release: what a designer must have in common with the server (encoder: SHA-256).
        channels: the encoder's four widths, finest first.
        style_bounds: what the numbers of a signature can be; None where nothing is known of the encoder but its name.
    """

    shapes: dict[str, tuple[int, ...]]
    withheld: frozenset[str]
    preset: str
    encoder: str
    release: str
    channels: tuple[int, ...]
    style_bounds: StyleBounds | None = field(default=None, compare=False)

    @classmethod
    def from_model(cls, model: FedGAI, release: str) -> UpdateSpec:
        preset = model.preset
        spec = cls.from_discriminator(model.discriminator, preset.name, model.encoder_sha256, release, preset.channels)
        return replace(spec, style_bounds=model.style_bounds)

    @classmethod
    def from_discriminator(
        cls, discriminator: Discriminator, preset: str, encoder: str, release: str, channels: tuple[int, ...]
    ) -> UpdateSpec:
        shapes = {name: tuple(tensor.shape) for name, tensor in discriminator.shared().items()}
        withheld = frozenset(
            f"{name}.{key}"
            for name, module in discriminator.named_modules()
            if isinstance(module, _BatchNorm)
            for key in module.state_dict()
        )
        return cls(shapes, withheld, preset, encoder, release, tuple(channels))

    @property
    def size(self) -> int:
        """Numbers in an update."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def max_bytes(self) -> int:
        """Bytes of an update's arrays, numpy's headers included: exactly so many, no more and no less."""
        return sum(len(_npy_header(shape)) + 2 * math.prod(shape) for shape in self.shapes.values())

    @property
    def style_length(self) -> int:
        """Numbers in a style signature."""
        return 2 * sum(self.channels)

    def row(self, arrays: ArrayRecord) -> np.ndarray:
        """The server's own arrays, any float dtype -> (size,) float32. Raises ValueError where names or shapes differ."""
        if {name: tuple(array.shape) for name, array in arrays.items()} != self.shapes:
            raise ValueError("these arrays are not what this federation shares")
        return np.concatenate([arrays[name].numpy().astype(np.float32).ravel() for name in self.shapes])

    def record(self, row: np.ndarray, dtype: type = np.float16) -> ArrayRecord:
        """(size,) of any float dtype -> what crosses the wire."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()])[:-1]
        parts = zip(self.shapes.items(), np.split(row.astype(dtype, copy=False), ends), strict=True)
        return ArrayRecord({name: Array(part.reshape(shape)) for (name, shape), part in parts})


@dataclass(frozen=True)
class Limits:
    """What an update must keep to, and how those that do are aggregated. docs/aggregation.md has the guarantees.

    Attributes:
        aggregation: one of ``AGGREGATIONS``.
        minimum: accepted designers without whom there is no aggregate.
        norm_factor: an update further from the aggregate that was sent than so many times the round's median is left out.
        norm_floor: as a share of that aggregate's own norm, a distance that is always allowed: where most designers
            hardly moved, the median alone would leave out whoever learned something.
        norm_cap: with fewer than three updates a median says nothing; then this share of the aggregate's norm is the bound.
        share_bound: no designer's share is above so many times the (lower) median share.
        trim: trimmed-mean leaves out this share of the values at each end.
        malicious: krum and multikrum withstand so many hostile designers.
        dp_noise_multiplier: central differential privacy's noise, in clipping norms; 0 for none.
        dp_clipping_norm: to which an update is shortened for it.
    """

    aggregation: str = "mean"
    minimum: int = 2
    norm_factor: float = 5.0
    norm_floor: float = 0.01
    norm_cap: float = 1.0
    share_bound: float = 2.0
    trim: float = 0.2
    malicious: int = 1
    dp_noise_multiplier: float = 0.0
    dp_clipping_norm: float = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the run config's key, for a setting that could not work."""
        wrong = {
            f"aggregation is one of {', '.join(AGGREGATIONS)}": self.aggregation not in AGGREGATIONS,
            "min-designers is at least 1": self.minimum < 1,
            "norm-factor is at least 1": not 1 <= self.norm_factor < math.inf,
            "share-bound is at least 1": not 1 <= self.share_bound < math.inf,
            "trim is at least 0.001 and below 0.5": not 0.001 <= self.trim < 0.5,
            "malicious is not negative": self.malicious < 0,
            "dp-noise-multiplier is not negative": not 0 <= self.dp_noise_multiplier < math.inf,
            "dp-clipping-norm is above 0": not 0 < self.dp_clipping_norm < math.inf,
            "dp-noise-multiplier goes with aggregation mean only": self.dp_noise_multiplier > 0 and self.aggregation != "mean",
        }
        if found := [sentence for sentence, is_wrong in wrong.items() if is_wrong]:
            raise ValueError("; ".join(found))

    @classmethod
    def from_run_config(cls, config: Mapping[str, Any]) -> Limits:
        """From Flower's run config; keys that are no concern of this class are passed over, missing ones have defaults."""
        keys = {
            "aggregation": str,
            "norm-factor": float,
            "share-bound": float,
            "min-designers": int,
            "trim": float,
            "malicious": int,
            "dp-noise-multiplier": float,
            "dp-clipping-norm": float,
        }
        names = {key: key.replace("-", "_") for key in keys} | {"min-designers": "minimum"}
        return cls(**{names[key]: kind(config[key]) for key, kind in keys.items() if key in config})

    @property
    def needed(self) -> int:
        """Accepted designers without whom the aggregation could not keep its promise; never under ``minimum``."""
        trimmed = next(n for n in itertools.count(3) if int(self.trim * n))  # as Flower counts those to cut off
        krum = 2 * self.malicious + 3
        least = {"trimmed-mean": trimmed, "median": 3, "krum": krum, "multikrum": krum}
        return max(self.minimum, least.get(self.aggregation, 1))

    @property
    def description(self) -> str:
        """One line for reports and model cards."""
        if self.dp_noise_multiplier:
            return (
                f"mean, everybody alike, with central differential privacy (updates clipped to {self.dp_clipping_norm:g}, "
                f"noise multiplier {self.dp_noise_multiplier:g})"
            )
        return {
            "mean": f"mean weighted by pairs, no share above {self.share_bound:g} times the median share",
            "trimmed-mean": f"mean without the {self.trim:.0%} largest and smallest values of each number",
            "median": "median of each number",
            "krum": f"Krum, {self.malicious} assumed hostile",
            "multikrum": f"Multi-Krum, {self.malicious} assumed hostile",
        }[self.aggregation]


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


class DiscriminatorAvg(Strategy):
    """Checked, bounded averaging of Discriminators.

    Memory does not grow with the designers' number but for some kilobytes each (verdict, signature): the rows wait in
    an unnamed file, ``2 * spec.size`` bytes each. Only an ``inner`` strategy gets them all at once, float64.

    Args:
        spec: what an update is.
        limits: what it must keep to.
        names: node id -> approved name. An approved name wins over the one that a reply carries.
        inner: aggregates in place of the weighted mean; by default what ``limits`` ask for.
        history: SHA-256s of earlier rounds' updates under any keys; the same bytes again are a replay.
        spool: folder for the file; None for the system's temporary one.

    Attributes:
        verdicts: of the round, in order of arrival; complete once ``aggregate_train`` returns.
        signatures: node id -> signature, as they arrive; in the end those of accepted designers only.
    """

    def __init__(
        self,
        spec: UpdateSpec,
        limits: Limits = Limits(),
        names: Mapping[int, str] | None = None,
        inner: Strategy | None = None,
        history: Mapping[int, set[str]] | None = None,
        spool: str | Path | None = None,
    ) -> None:
        self.spec, self.limits, self.names, self.spool = spec, limits, names or {}, spool
        self.inner = inner if inner is not None else inner_strategy(limits)
        self.history = {key: set(digests) for key, digests in (history or {}).items()}
        self.verdicts: list[Verdict] = []
        self.signatures: dict[int, Signature] = {}
        self._headers = {name: _npy_header(shape) for name, shape in spec.shapes.items()}
        self._row = np.empty(spec.size, "<f2")  # one for all: a fresh one for each would leave holes in the heap
        self._round, self._asked = 0, None
        self._sent: np.ndarray | None = None

    @property
    def description(self) -> str:
        return self.limits.description

    def summary(self) -> None:
        log.info("\t├──> %s; at least %d designers", self.description, self.limits.needed)
        if self.inner is not None:
            self.inner.summary()

    # -- the round goes out ------------------------------------------------------------------------------------------------

    def expect(self, server_round: int, arrays: ArrayRecord, asked: Iterable[int] | None = None) -> ArrayRecord:
        """Begin a round: what was sent, and to whom (None: anybody may answer). Returns the arrays as float16."""
        sent = self.spec.record(self.spec.row(arrays))
        self._sent = self.spec.row(sent)
        self._round, self._asked = server_round, None if asked is None else set(asked)
        self._earlier = set().union(*self.history.values())
        self._seen: set[int] = set()
        self._taken = set(self.names.values())
        self.verdicts, self.signatures = [], {}
        return sent

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """One message to everybody who is connected. ``server_round`` counts over all seasons: a reply must name it.

        Raises ValueError where ``arrays`` are not what the spec says.
        """
        asked = sorted(grid.get_node_ids())
        sent = self.expect(server_round, arrays, asked)
        config["server-round"] = config["round"] = server_round
        config["preset"], config["encoder"], config["release"] = self.spec.preset, self.spec.encoder, self.spec.release
        content = RecordDict({"arrays": sent, "config": config})
        return [Message(content, dst_node_id=node, message_type=MessageType.TRAIN) for node in asked]

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """Nothing: the probe is the server's own, on public photographs."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        return None

    # -- the answers come in -----------------------------------------------------------------------------------------------

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check each reply as it arrives, then aggregate those that passed.

        Args:
            server_round: the one that was configured, or expected.
            replies: any iterable; a generator may yield them as they arrive. None is kept.
        Returns:
            the aggregate, float16, and the metrics' means weighted by share; (None, None) where fewer than
            ``limits.needed`` passed: repeat the round.
        Raises:
            ValueError: this round was not begun.
        """
        if self._sent is None or server_round != self._round:
            raise ValueError(f"round {server_round} was not configured")
        rows: list[Verdict] = []  # verdict of each row in the spool
        with tempfile.TemporaryFile(dir=self.spool) as spool:
            for message in replies:
                verdict = self._verdict(message.metadata.src_node_id)
                try:
                    row = self._check(message, verdict)
                    spool.write(row.data)
                    verdict.accepted = True
                    rows.append(verdict)
                except UpdateError as error:
                    verdict.reason = str(error)
                except OSError:
                    raise  # of the spool: the disk is full, which is nobody's fault but ours
                except Exception as error:  # whatever else a stranger's records make Python raise
                    verdict.reason = f"its reply cannot be read ({type(error).__name__})"
                message = row = None  # the last one must not stay while the next is awaited
                if verdict.reason:
                    log.warning("%s is left out: %s", verdict.name, verdict.reason)
            self._bound_norms(rows)
            accepted = [v for v in rows if v.accepted]
            self.signatures = {v.node_id: self.signatures[v.node_id] for v in accepted if v.node_id in self.signatures}
            if len(accepted) < self.limits.needed:
                return None, None
            self._share(accepted)
            if self.inner is None:
                mean = self._mean(spool, np.array([v.share for v in rows]))
            else:
                mean = self._through_inner(spool, rows)
        if mean is None:
            return None, None
        for verdict in accepted:
            self.history.setdefault(verdict.node_id, set()).add(verdict.sha256)
        limit = float(np.finfo(np.float16).max)  # only noise can lead beyond
        return self.spec.record(np.clip(mean, -limit, limit)), _mean_metrics(accepted)

    def leave_out(self, node_id: int, reason: str) -> None:
        """Somebody whose answer never became a message; for whoever yields the replies, while they are aggregated."""
        verdict = self._verdict(node_id)
        verdict.reason = reason
        self._seen.add(node_id)
        log.warning("%s is left out: %s", verdict.name, reason)

    def _verdict(self, node_id: int) -> Verdict:
        verdict = Verdict(node_id, self.names.get(node_id, f"designer {node_id}"))
        self.verdicts.append(verdict)
        return verdict

    def _check(self, message: Message, verdict: Verdict) -> np.ndarray:
        """All but the norm. Fills in ``verdict``, keeps the signature. Returns (size,) float16, overwritten by the next."""
        if self._asked is not None and verdict.node_id not in self._asked:
            raise UpdateError("it was not asked in this round")
        if verdict.node_id in self._seen:
            raise UpdateError("it has answered already; its first answer counts")
        self._seen.add(verdict.node_id)
        if message.has_error():  # its text may hold a designer's paths: it goes no further
            raise UpdateError(ERRORS.get(message.error.code, "it answered with an error"))
        content = message.content
        kinds = {"arrays": ArrayRecord, "metrics": MetricRecord, "designer": ConfigRecord}
        if {k: type(v) for k, v in content.items()} != kinds:
            raise UpdateError("a reply is the records arrays, metrics and designer, no more and no less")
        verdict.bytes = sum(len(array.data) for array in content["arrays"].values())
        told = content["designer"]
        self._check_origin(told)
        row = self._check_arrays(content["arrays"])
        verdict.sha256 = hashlib.sha256(row.data).hexdigest()
        if verdict.sha256 in self._earlier:
            raise UpdateError("it is an update of an earlier round again")
        verdict.norm = self._norm(row)
        metrics = _check_metrics(content["metrics"])
        verdict.pairs = metrics.pop(PAIRS)
        verdict.metrics = metrics
        self._check_designer(told, verdict)
        return row

    def _check_origin(self, told: ConfigRecord) -> None:
        expected = {"preset": self.spec.preset, "encoder": self.spec.encoder, "release": self.spec.release}
        advice = {
            "preset": "start from the federation's weights",
            "encoder": "start from the federation's weights",
            "release": f"install release {self.spec.release}",
        }
        for key, value in expected.items():
            if told.get(key) != value:
                raise UpdateError(f"its {key} is {_shown(told.get(key), 12)}, the federation's is {value[:12]}: {advice[key]}")
        if type(told.get("round")) is not int or told["round"] != self._round:
            raise UpdateError(f"it belongs to round {_shown(told.get('round'), 12)}, this is round {self._round}")

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
            difference -= self._sent[piece]
            squared += float(np.dot(difference, difference))
        norm = math.sqrt(squared)
        if not math.isfinite(norm):
            raise UpdateError("it has numbers that are not finite (NaN or infinity)")
        return norm

    def _check_designer(self, told: ConfigRecord, verdict: Verdict) -> None:
        """What a designer may say about itself; the signature, where there is one, goes into ``signatures``."""
        known = {"round", "encoder", "preset", "release", "style", "sketches", "name", "description"}
        if extra := set(told) - known:
            raise UpdateError(f"it says {_shown(min(extra), 40)} about itself, which nobody asked")
        name = _text(told, "name", MAX_NAME)
        description = _text(told, "description", MAX_DESCRIPTION)
        if name and verdict.node_id not in self.names:
            if name in self._taken:
                raise UpdateError(f"the name {name!r} belongs to another designer")
            self._taken.add(name)
            verdict.name = name
        if "style" not in told:
            return
        style, sketches = told["style"], told.get("sketches")
        if type(style) is not bytes or len(style) != 4 * self.spec.style_length:
            raise UpdateError(f"its style signature is not {self.spec.style_length} float32 numbers")
        if type(sketches) is not int or not 1 <= sketches <= MAX_SKETCHES:
            raise UpdateError(f"its number of sketches is not in 1 to {MAX_SKETCHES:,}")
        numbers = torch.from_numpy(np.frombuffer(style, "<f4").astype(np.float32))
        if not numbers.isfinite().all() or numbers.abs().max() > MAX_STATISTIC:
            raise UpdateError("its style signature has numbers that no encoder gives")
        deviations = numbers.split([c for c in self.spec.channels for _ in range(2)])[1::2]
        if any((d < 0).any() for d in deviations):
            raise UpdateError("its style signature has negative standard deviations")
        if self.spec.style_bounds is not None and not self.spec.style_bounds.hold(numbers):
            raise UpdateError("its style signature has numbers that no drawing gives")
        self.signatures[verdict.node_id] = Signature(
            numbers, self.spec.encoder, verdict.name, description, sketches, {"designer": verdict.node_id}
        )

    # -- the round is closed -----------------------------------------------------------------------------------------------

    def _bound_norms(self, rows: list[Verdict]) -> None:
        """Leave out updates that went too far from what was sent."""
        own = float(np.linalg.norm(self._sent))
        if len(rows) >= 3:
            median = statistics.median(v.norm for v in rows)
            bound = max(self.limits.norm_factor * median, self.limits.norm_floor * own)
            measured = f"{self.limits.norm_factor:g} times the round's median of {median:.4g}"
        else:
            bound = self.limits.norm_cap * own
            measured = f"{self.limits.norm_cap:g} times the aggregate's own norm, with too few answers for a median"
        for verdict in rows:
            if verdict.norm > bound:
                verdict.accepted = False
                verdict.reason = f"its update has norm {verdict.norm:.4g}; the bound is {bound:.4g} ({measured})"
                log.warning("%s is left out: %s", verdict.name, verdict.reason)

    def _share(self, accepted: list[Verdict]) -> None:
        private = isinstance(self.inner, DifferentialPrivacyServerSideFixedClipping)
        alike = private or isinstance(self.inner, FedMedian | FedTrimmedAvg)  # these take no weights
        weights = shares([1 if alike else v.pairs for v in accepted], self.limits.share_bound)
        for verdict, share in zip(accepted, weights, strict=True):
            verdict.share = float(share)

    def _mean(self, spool: BinaryIO, weights: np.ndarray) -> np.ndarray:
        """(rows,) of shares, 0 for who was left out -> (size,) float64, one row at a time."""
        mean = torch.zeros(self.spec.size, dtype=torch.float64)
        for i, row in enumerate(_rows(spool, self.spec.size, len(weights))):
            for total, piece in zip(mean.split(PIECE), torch.from_numpy(row).split(PIECE), strict=True):
                total.add_(piece.double(), alpha=weights[i])
        return mean.numpy()

    def _through_inner(self, spool: BinaryIO, rows: list[Verdict]) -> np.ndarray | None:
        """Hand Flower's strategy clean replies, built anew from what passed: nothing else of a message reaches it."""
        messages, inner = [], self.inner
        private = isinstance(inner, DifferentialPrivacyServerSideFixedClipping)
        for verdict, row in zip(rows, _rows(spool, self.spec.size, len(rows)), strict=True):
            if not verdict.accepted:
                continue
            values = row.astype(np.float64)
            if private and verdict.norm == 0:
                values[0] += 1e-6  # Flower divides by an update's norm
            metrics = MetricRecord({PAIRS: 1.0 if private else verdict.share})
            content = RecordDict({"arrays": self.spec.record(values, np.float64), "metrics": metrics})
            origin = Metadata(0, "", verdict.node_id, 0, "", "", 0.0, 0.0, MessageType.TRAIN)
            messages.append(make_message(origin, content))
        if private:
            inner.current_arrays = self.spec.record(self._sent, np.float64)
            inner.num_sampled_clients = len(messages)  # the noise is for those who answered, not for those who were asked
        elif isinstance(inner, MultiKrum) and not isinstance(inner, Krum):
            inner.num_nodes_to_select = max(1, len(messages) - inner.num_malicious_nodes)
        arrays, _ = inner.aggregate_train(self._round, messages)
        return None if arrays is None else np.concatenate([arrays[name].numpy().ravel() for name in self.spec.shapes])


def inner_strategy(limits: Limits) -> Strategy | None:
    """Flower's own class for what ``limits`` ask; None for the weighted mean, which is ``DiscriminatorAvg``'s own."""
    if limits.dp_noise_multiplier:
        # the number of clients is set in each round to those who passed
        return DifferentialPrivacyServerSideFixedClipping(FedAvg(), limits.dp_noise_multiplier, limits.dp_clipping_norm, 1)
    return {
        "mean": lambda: None,
        "trimmed-mean": lambda: FedTrimmedAvg(beta=limits.trim),
        "median": FedMedian,
        "krum": lambda: Krum(num_malicious_nodes=limits.malicious),
        "multikrum": lambda: MultiKrum(num_malicious_nodes=limits.malicious),
    }[limits.aggregation]()


def shares(pairs: Iterable[int], bound: float) -> np.ndarray:
    """Each designer's share of the aggregate: its pairs, cut to ``bound`` times the lower median of all, then normalised.

    The lower median, (n + 1) // 2-th smallest, is one of the numbers and survives the cut, so a single cut is the fixed
    point: afterwards no share is above ``bound`` times the median share. It also binds with two designers, where the
    mean of the middle two would be half of everything whatever they claim.

    Args:
        pairs: (n,) positive numbers.
        bound: at least 1.
    Returns:
        (n,) float64, sums to 1.
    """
    weights = np.array(list(pairs), np.float64)
    weights = np.minimum(weights, bound * statistics.median_low(weights.tolist()))
    return weights / weights.sum()


def epsilon(noise_multipliers: Iterable[float], delta: float = DELTA) -> float:
    """What central differential privacy has spent over rounds that had a noise multiplier each: exact, not a bound.

    Gaussian mechanisms one after the other, each chosen with knowledge of those before, are together as private as a single
    one whose 1 / z**2 is the sum of theirs (Dong, Roth and Su, "Gaussian differential privacy", 2022, corollary 3.3); and that
    one has delta = Phi(1 / 2z - epsilon z) - exp(epsilon) Phi(-1 / 2z - epsilon z) (Balle and Wang, "Improving the Gaussian
    mechanism", 2018, theorem 8).

    Args:
        noise_multipliers: above 0, of every round whose aggregate was seen; the designer counts as in all of them.
        delta: the probability with which epsilon may not hold, in (0, 1).
    Returns:
        epsilon; 0 where there was no round.
    """
    mu = math.sqrt(sum(z**-2 for z in noise_multipliers))  # 1 / z of them all
    if not mu:
        return 0.0

    def over(spent: float) -> float:
        kept, more = log_ndtr(mu / 2 - spent / mu), spent + log_ndtr(-mu / 2 - spent / mu)
        return math.exp(kept) - math.exp(more) - delta  # logarithms, for exp(epsilon) alone may overflow

    most = next(2.0**i for i in itertools.count() if over(2.0**i) < 0)
    return brentq(over, 0.0, most) if over(0.0) > 0 else 0.0


def privacy(limits: Limits, reports: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a round's report says of central differential privacy; None without it.

    Args:
        limits: of this round.
        reports: of the rounds before it, whose aggregates are known too.
    Returns:
        noise_multiplier, clipping_norm and delta; epsilon_round: of this round alone; epsilon: of all ``rounds`` that had
        noise, this one among them; rounds_without: earlier ones that had none, of which nothing is promised.
    """
    if not limits.dp_noise_multiplier:
        return None
    earlier = [(r.get("privacy") or {}).get("noise_multiplier", 0.0) for r in reports if r.get("round")]
    noisy = [*filter(None, earlier), limits.dp_noise_multiplier]
    return {
        "noise_multiplier": limits.dp_noise_multiplier,
        "clipping_norm": limits.dp_clipping_norm,
        "delta": DELTA,
        "epsilon_round": epsilon(noisy[-1:]),
        "epsilon": epsilon(noisy),
        "rounds": len(noisy),
        "rounds_without": len(earlier) + 1 - len(noisy),
    }


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """What numpy.save writes before the numbers of a C-ordered little-endian float16 array."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


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


def _check_metrics(metrics: MetricRecord) -> dict[str, Any]:
    pairs = metrics.get(PAIRS)
    if type(pairs) is not int or not 1 <= pairs <= MAX_PAIRS:
        raise UpdateError(f"its number of pairs is not in 1 to {MAX_PAIRS:,}")
    if len(metrics) > MAX_METRICS:
        raise UpdateError(f"it has {len(metrics):,} metrics; {MAX_METRICS} are the most")
    for name, value in metrics.items():
        if len(name) > MAX_NAME or not name.isprintable():
            raise UpdateError("a metric's name is too long or not printable")
        if type(value) not in (int, float) or not math.isfinite(value) or (name != PAIRS and abs(value) > MAX_METRIC):
            raise UpdateError(f"its metric {name!r} is not a finite number of sane size")
    return {name: value if name == PAIRS else float(value) for name, value in metrics.items()}


def _mean_metrics(accepted: list[Verdict]) -> MetricRecord:
    """Means by share, of those metrics that at least half of the designers report, over those who do."""
    names = dict.fromkeys(name for v in accepted for name in v.metrics)
    means = {}
    for name in names:
        who = [v for v in accepted if name in v.metrics]
        if 2 * len(who) >= len(accepted):
            means[name] = sum(v.share * v.metrics[name] for v in who) / sum(v.share for v in who)
    return MetricRecord(means)


def _text(told: ConfigRecord, key: str, length: int) -> str:
    value = told.get(key, "")
    if type(value) is not str or len(value) > length or not value.isprintable():
        raise UpdateError(f"its {key} is not up to {length} printable characters")
    return value.strip()


def _rows(spool: BinaryIO, size: int, count: int) -> Iterator[np.ndarray]:
    """``count`` times (size,) float16, each overwritten by the next."""
    row = np.empty(size, "<f2")
    spool.seek(0)
    for _ in range(count):
        if spool.readinto(row.data) != row.nbytes:
            raise OSError("the spool is shorter than what was written to it")
        yield row


def _shown(value: object, length: int) -> str:
    """A stranger's value in a sentence: one line, printable, cut."""
    text = value[: length + 1] if isinstance(value, str) else reprlib.repr(value)[: length + 1]
    text = "".join(c if c.isprintable() else "?" for c in text)
    return repr(text[:length] + "…") if len(text) > length else repr(text) if isinstance(value, str) else text
