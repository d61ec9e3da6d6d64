"""In front of and behind the companion's proxy, without processes: a studio and a SuperNode that do as a test says."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fab_pb2 import Fab, GetFabResponse
from flwr.proto.fleet_pb2 import ActivateNodeResponse, PullMessagesResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import PushObjectRequest, PushObjectResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from starlette.requests import Request
from starlette.responses import Response

from federation.designer.proxy import Proxy
from federation.identity import make_certificate

PROGRAM = b"the program of the release"
HASH = hashlib.sha256(PROGRAM).hexdigest()
SESSION = "session"
GOOD = {
    "activate-node": ActivateNodeResponse(node_id=7),
    "pull-messages": PullMessagesResponse(),
    "get-fab": GetFabResponse(fab=Fab(hash_str=HASH, content=PROGRAM)),
}


class Studio:
    """In the studio's place, with TLS: answers well, or as ``answer`` says; ``asked`` are (path, headers, body)."""

    def __init__(self, folder: Path, app: Any = None) -> None:
        folder.mkdir()
        make_certificate(folder)
        self.certificate = folder / "ca.pem"
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: Callable[[str], Response] | None = None
        self.delay = 0.0
        self.has: set[str] = set()  # ids of objects
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app or self._serve,
                interface="asgi3",
                ws="none",
                lifespan="off",
                port=self.port,
                log_level="error",
                ssl_certfile=folder / "server.pem",
                ssl_keyfile=folder / "server.key",
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        call, body = request.url.path.removeprefix("/v1/fleet/"), await request.body()
        self.asked.append((request.url.path, dict(request.headers), body))
        await asyncio.sleep(self.delay)
        await self.respond(call, body)(scope, receive, send)

    def respond(self, call: str, body: bytes) -> Response:
        return self.answer(call) if self.answer else proto(self.good(call, body))

    def good(self, call: str, body: bytes) -> Any:
        if call == "push-messages":
            tree = PushMessagesRequest.FromString(body).message_object_trees[0]
            return PushMessagesResponse(objects_to_push=ids(tree) - self.has, session_id=SESSION)
        if call == "push-object":
            self.has.add(PushObjectRequest.FromString(body).object_id)
            return PushObjectResponse(stored=True)
        return GOOD[call]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


class Node:
    """In the SuperNode's place."""

    def __init__(self, proxy: Proxy) -> None:
        self.client = httpx.Client(
            verify=ssl.create_default_context(cafile=proxy.certificate),
            trust_env=False,
            timeout=60,
            base_url=f"https://{proxy.address}",
        )

    def ask(self, call: str, content: bytes = b"", **headers: str) -> httpx.Response:
        return self.client.post(f"/v1/fleet/{call}", content=content, headers=headers)

    def push(self, message: Message) -> list[int]:
        """As flwr 1.42 does: returns the statuses, of push-messages and of each object."""
        tree, objects = get_object_tree(message), get_all_nested_objects(message)
        announced = PushMessagesRequest(
            messages_list=[message_to_proto(remove_content_from_message(message))], message_object_trees=[tree]
        )
        answer = self.ask("push-messages", announced.SerializeToString())
        statuses = [answer.status_code]
        if answer.status_code == 200:
            pushed = PushMessagesResponse.FromString(answer.content)
            for name, item in objects.items():
                if name in pushed.objects_to_push:
                    statuses.append(self.object(name, item.deflate(), pushed.session_id))
        return statuses

    def object(self, name: str, content: bytes, session: str = SESSION) -> int:
        request = PushObjectRequest(object_id=name, object_content=content, session_id=session)
        return self.ask("push-object", request.SerializeToString()).status_code


def proto(message: Any) -> Response:
    return Response(message.SerializeToString(), media_type="application/protobuf")


def ids(tree: Any) -> set[str]:
    return {tree.object_id}.union(*(ids(child) for child in tree.children))


def update(number: int = 3, **designer: Any) -> RecordDict:
    """As client_app.answer returns it."""
    generator = np.random.default_rng(number)
    tensors = {"layers.0.weight": generator.normal(size=(4, 3, 2)).astype(np.float16), "scale": np.array(2, np.float16)}
    about = {
        "round": number,
        "encoder": "abc",
        "preset": "small",
        "release": "0.2.0",
        "style": STYLE,
        "sketches": 12,
        "name": "Ada",
        "description": "thin lines",
    } | designer
    metrics = {"num-examples": 12, "loss-generator": 0.25, "own-distance": 1.5}
    arrays = ArrayRecord({k: Array(v) for k, v in tensors.items()})
    return RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics), "designer": ConfigRecord(about)})


STYLE = np.arange(8, dtype="<f4").tobytes()


def reply(content: RecordDict | Error) -> Message:
    metadata = Metadata(1, "", 7, 1, "0" * 64, "3", 1.0, 60.0, "train")
    message = make_message(
        metadata, content if isinstance(content, RecordDict) else None, content if isinstance(content, Error) else None
    )
    message.metadata.__dict__["_message_id"] = message.object_id
    return message
