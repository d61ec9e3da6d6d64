"""A visitor without a browser: sends to the studio what its page would send, or what no page would."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from helpers.studio_server import PATIENCE


@dataclass
class Answer:
    """What the studio made of an event.

    Attributes:
        status: of HTTP, 200 where the event was taken.
        ok: whether the event ended well.
        text: all lines of the answer, as they came.
        data: the outputs, where there are any.
    """

    status: int
    ok: bool
    text: str
    data: list[Any] = field(default_factory=list)


class Visitor:
    """One session of Gradio's protocol.

    Args:
        url: the studio's, ending in a slash.
    """

    def __init__(self, url: str) -> None:
        self.url, self.session = url, uuid.uuid4().hex
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE)
        self._config: dict[str, Any] = {}

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @property
    def config(self) -> dict[str, Any]:
        """What Gradio tells a page about itself."""
        if not self._config:
            self._config = self.http.get("config").raise_for_status().json()
        return self._config

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every listener, the page's own and those for programs: ``id``, ``api_name``, ``inputs``, ..."""
        return self.config["dependencies"]

    def event(self, name: str) -> dict[str, Any]:
        return next(e for e in self.events if e["api_name"] == name)

    def defaults(self, event: dict[str, Any]) -> list[Any]:
        """Inputs as an untouched page would send them."""
        components = {c["id"]: c for c in self.config["components"]}
        plain = {"html": {}, "json": {}, "number": 1, "image": None, "state": None}
        found = []
        for number in event["inputs"]:
            component = components[number]
            value = component["props"].get("value")
            found.append(plain.get(component["type"]) if value is None else value)
        return found

    def upload(self, content: bytes, name: str = "photo.jpg") -> str:
        """Send a file up. Returns where it lies on the server."""
        answer = self.http.post("gradio_api/upload", files={"files": (name, content)})
        return answer.raise_for_status().json()[0]

    def join(self, event: dict[str, Any], data: list[Any], event_data: Any = None) -> httpx.Response:
        body = {"data": data, "event_data": event_data, "fn_index": event["id"], "trigger_id": None, "session_hash": self.session}
        return self.http.post("gradio_api/queue/join", json=body)

    def do(self, name: str, data: list[Any] | None = None, event_data: Any = None) -> Answer:
        """Have the page's listener of that name run, and wait for it."""
        event = self.event(name)
        joined = self.join(event, self.defaults(event) if data is None else data, event_data)
        if joined.status_code != 200:
            return Answer(joined.status_code, False, joined.text)
        return self.wait(joined.json()["event_id"])

    def wait(self, event_id: str) -> Answer:
        lines = []
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                lines.append(line)
                message = json.loads(line[6:])
                if message["msg"] == "process_completed" and message["event_id"] == event_id:
                    output = message.get("output") or {}
                    return Answer(200, message["success"], "\n".join(lines), output.get("data") or [])
                if message["msg"] in ("close_stream", "unexpected_error", "server_stopped"):
                    break
        return Answer(200, False, "\n".join(lines))

    def call(self, name: str, data: list[Any]) -> Answer:
        """As a program: /gradio_api/call/NAME."""
        joined = self.http.post(f"gradio_api/call/{name}", json={"data": data})
        if joined.status_code != 200:
            return Answer(joined.status_code, False, joined.text)
        answer = self.http.get(f"gradio_api/call/{name}/{joined.json()['event_id']}")
        complete = "event: complete" in answer.text
        data = json.loads(answer.text.rpartition("data: ")[2]) if complete else []
        return Answer(answer.status_code, complete, answer.text, data)


def file_data(path: str, meta: bool, **more: Any) -> dict[str, Any]:
    """A file as a page of Gradio's names it."""
    return {"path": path, **more} | ({"meta": {"_type": "gradio.FileData"}} if meta else {})


def jpeg(path: Path) -> bytes:
    return path.read_bytes()
