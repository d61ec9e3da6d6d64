"""Finds out what a round would send, and sends nothing."""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context, MessageType, Metadata, RecordDict
from flwr.app.message import make_message

from federation.designer.client_app import answer, at_home, local_dp
from federation.designer.prepare import prepare
from federation.designer.receipt import Receipt
from federation.designer.round_config import round_record
from federation.designer.settings import NodeConfig, Progress, Settings, node_config
from federation.wire import choice_record, pack
from fedgai.line_choice import EVERY_LINE
from fedgai.model import FedGAI
from fedgai.networks.adapter import adapter_size
from fedgai.shipped import WEIGHTS


def dry_run(folder: Path, settings: Settings, progress: Progress | None = None) -> Receipt:
    """Exactly what a round would send, from the private model as it is now. Nothing is sent, and the model is not saved.

    Args:
        folder: HOME, see settings.py.
        settings: the designer's answers.
        progress: as in ``prepare``.
    Raises:
        FedGAIError: as a round would.
    """
    settings = settings.checked()
    config: NodeConfig = node_config(folder, settings, prepare(folder, settings, progress))
    model = FedGAI.load(WEIGHTS)
    question = round_record(model, number=0)
    trainer = at_home(config, question)
    arrays = pack(model.discriminator.shared())
    origin = Metadata(0, "", 0, 0, "", "", 0.0, 0.0, MessageType.TRAIN)
    message = make_message(origin, RecordDict({"arrays": arrays, "config": question}))
    context = Context(run_id=0, node_id=0, node_config=config, state=RecordDict(), run_config={})
    content = answer(trainer, config, question, {})
    if settings.share_style:  # a round may find an adapter and a choice of lines first; these are as large, and change nothing
        sample: dict[str, bytes | float] = {"adapter": bytes(adapter_size(model.generator)), **choice_record(EVERY_LINE)}
        for name, value in sample.items():
            content.config_records["designer"].setdefault(name, value)
    reply = local_dp(message, context, lambda *_: make_message(origin, content))
    return Receipt.of(reply.content, settings.server)
