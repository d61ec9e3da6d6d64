"""Averages the designers' Discriminators. Each answer is checked as it arrives (docs/aggregation.md).

reply -> check -> a row of fp16 on disk      norms' median, shares' bound -> float64 weighted mean -> fp16
"""

from __future__ import annotations

import logging
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedRandom
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, Krum, MultiKrum, Strategy

from federation.server.aggregation import RULES, UpdateLimits, inner_strategy, shares
from federation.server.update_check import PAIRS, PIECE, UpdateCheck, UpdateError, Verdict
from federation.server.update_spec import UpdateSpec
from fedgai.networks.style import Signature

log = logging.getLogger("flwr")


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
        limits: UpdateLimits | None = None,
        names: Mapping[int, str] | None = None,
        inner: Strategy | None = None,
        history: Mapping[int, set[str]] | None = None,
        spool: str | Path | None = None,
    ) -> None:
        self.spec, self.limits, self.names, self.spool = spec, limits or UpdateLimits(), names or {}, spool
        self.inner = inner if inner is not None else inner_strategy(self.limits)
        self.history = {key: set(digests) for key, digests in (history or {}).items()}
        self.verdicts: list[Verdict] = []
        self.signatures: dict[int, Signature] = {}
        self._check: UpdateCheck | None = None  # of the round that was begun

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
        earlier: set[str] = set().union(*self.history.values())
        self._check = UpdateCheck(self.spec, self.names, server_round, self.spec.row(sent), asked, earlier)
        self.verdicts, self.signatures = [], self._check.signatures
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
        check = self._check
        if check is None or server_round != check.number:
            raise ValueError(f"round {server_round} was not configured")
        rows: list[Verdict] = []  # verdict of each row in the spool
        mean: np.ndarray | None
        with tempfile.TemporaryFile(dir=self.spool) as spool:
            for message in replies:
                verdict = self._take(message, check, spool)
                del message  # it must not stay in memory while the next is awaited
                if verdict.accepted:
                    rows.append(verdict)
                else:
                    log.warning("%s is left out: %s", verdict.name, verdict.reason)
            self._bound_norms(rows, check.sent)
            accepted = [v for v in rows if v.accepted]
            self.signatures = {v.node_id: self.signatures[v.node_id] for v in accepted if v.node_id in self.signatures}
            if len(accepted) < self.limits.needed:
                return None, None
            self._share(accepted)
            if self.inner is None:
                mean = _weighted_mean(spool, self.spec.size, np.array([v.share for v in rows]))
            else:
                mean = self._through_inner(self.inner, spool, rows, check)
        if mean is None:
            return None, None
        for verdict in accepted:
            self.history.setdefault(verdict.node_id, set()).add(verdict.sha256)
        limit = float(np.finfo(np.float16).max)  # only noise can lead beyond
        return self.spec.record(np.clip(mean, -limit, limit)), _mean_metrics(accepted)

    def _take(self, message: Message, check: UpdateCheck, spool: BufferedRandom) -> Verdict:
        """Check one answer. What passes goes into the spool."""
        verdict = self._verdict(message.metadata.src_node_id)
        try:
            row = check.check(message, verdict)
            spool.write(row.data)
            verdict.accepted = True
        except UpdateError as error:
            verdict.reason = str(error)
        except OSError:
            raise  # of the spool: the disk is full, which is nobody's fault but ours
        except Exception as error:  # whatever else a stranger's records make Python raise
            verdict.reason = f"its reply cannot be read ({type(error).__name__})"
        return verdict

    def leave_out(self, node_id: int, reason: str) -> None:
        """Leave out a designer whose answer never became a message. Called by what yields the replies, while they come."""
        verdict = self._verdict(node_id)
        verdict.reason = reason
        if self._check is not None:
            self._check.seen.add(node_id)
        log.warning("%s is left out: %s", verdict.name, reason)

    def _verdict(self, node_id: int) -> Verdict:
        verdict = Verdict(node_id, self.names.get(node_id, f"designer {node_id}"))
        self.verdicts.append(verdict)
        return verdict

    # -- the round is closed -----------------------------------------------------------------------------------------------

    def _bound_norms(self, rows: list[Verdict], sent: np.ndarray) -> None:
        """Leave out updates that went too far from what was sent."""
        own = float(np.linalg.norm(sent))
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
        alike = private or not RULES[self.limits.aggregation].weighted
        weights = shares([1 if alike else v.pairs for v in accepted], self.limits.share_bound)
        for verdict, share in zip(accepted, weights, strict=True):
            verdict.share = float(share)

    def _through_inner(
        self, inner: Strategy, spool: BufferedRandom, rows: list[Verdict], check: UpdateCheck
    ) -> np.ndarray | None:
        """Hand Flower's strategy clean replies, built again from what passed: nothing else of a message reaches it."""
        messages = []
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
        if isinstance(inner, DifferentialPrivacyServerSideFixedClipping):
            inner.current_arrays = self.spec.record(check.sent, np.float64)
            inner.num_sampled_clients = len(messages)  # the noise is for those who answered, not for those who were asked
        elif isinstance(inner, MultiKrum) and not isinstance(inner, Krum):
            inner.num_nodes_to_select = max(1, len(messages) - inner.num_malicious_nodes)
        arrays, _ = inner.aggregate_train(check.number, messages)
        return None if arrays is None else np.concatenate([arrays[name].numpy().ravel() for name in self.spec.shapes])


def _weighted_mean(spool: BufferedRandom, size: int, weights: np.ndarray) -> np.ndarray:
    """(rows,) of shares, 0 for who was left out -> (size,) float64, one row at a time."""
    mean = torch.zeros(size, dtype=torch.float64)
    for i, row in enumerate(_rows(spool, size, len(weights))):
        for total, piece in zip(mean.split(PIECE), torch.from_numpy(row).split(PIECE), strict=True):
            total.add_(piece.double(), alpha=weights[i])
    return mean.numpy()


def _mean_metrics(accepted: list[Verdict]) -> MetricRecord:
    """Means by share, of those metrics that at least half of the designers report, over those who do."""
    names = dict.fromkeys(name for v in accepted for name in v.metrics)
    means: dict[str, int | float | list[int] | list[float]] = {}
    for name in names:
        who = [v for v in accepted if name in v.metrics]
        if 2 * len(who) >= len(accepted):
            means[name] = sum(v.share * v.metrics[name] for v in who) / sum(v.share for v in who)
    return MetricRecord(means)


def _rows(spool: BufferedRandom, size: int, count: int) -> Iterator[np.ndarray]:
    """``count`` times (size,) float16, each overwritten by the next."""
    row = np.empty(size, "<f2")
    spool.seek(0)
    for _ in range(count):
        if spool.readinto(row.data) != row.nbytes:
            raise OSError("the spool is shorter than what was written to it")
        yield row
