"""A stand-in for the Hugging Face Hub on the loopback: what the real huggingface_hub client calls to push and to load a model.

Files that the real Hub keeps in LFS go through LFS here: batch, PUT of the blob, verify, and a redirect on the way down, to
a storage at another address, as there.
The client needs ``HF_HUB_DISABLE_XET=1``: with Xet it talks to a service of its own in its own protocol.

>>> with HubServer() as hub:
...     hub.fail("PUT /lfs", cut=True)             # the next upload breaks off in the middle
...     HubQueue(folder, "ada/coats", hub.token, hub.endpoint)
...     hub.repo("ada/coats")["config.json"], hub.tags("ada/coats")
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LFS = re.compile(r".*\.(safetensors|jpg|png|bin)")
DATE = "2026-01-01T00:00:00.000Z"


@dataclass
class Fault:
    """What the next ``times`` requests get whose "METHOD /path" matches ``pattern``.

    ``status`` and ``headers``: that refusal. ``delay``: seconds before anything. ``cut``: half of the request's body is
    read, then the connection is gone. ``lost``: it is done, but the answer never arrives. ``torn``: half of the answer's body
    arrives, then the connection is gone. ``spoilt``: the answer has one wrong byte.
    """

    pattern: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    lost: bool = False
    torn: bool = False
    spoilt: bool = False
    times: int = 1


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Commit:
    oid: str
    title: str
    files: dict[str, bytes]


@dataclass
class Repo:
    commits: list[Commit]  # of main, oldest first
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False

    def at(self, revision: str) -> Commit | None:
        oid = self.commits[-1].oid if revision == "main" else self.tags.get(revision, revision)
        return next((c for c in self.commits if c.oid == oid), None)


class HubServer:
    """Use as a context manager. Anybody may read; ``token`` may write.

    Attributes:
        endpoint: its address; ``storage``: where the LFS blobs are.
        token: the one that it accepts; ``reader`` is one that may not write.
        requests: all of them so far, for a test to look through.
        blobs: LFS objects by their SHA-256.
    """

    def __init__(self, token: str = "hf_write") -> None:
        self.token, self.reader = token, "hf_read"
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        self._faults: list[Fault] = []
        self._servers = [_Server(("127.0.0.1", 0), _Handler) for _ in range(2)]
        for server in self._servers:
            server.hub = self
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> HubServer:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """For another process that is to take this for the Hub."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": self.token}

    def create(self, repo_id: str, files: dict[str, bytes] | None = None, private: bool = False) -> None:
        self.repos[repo_id] = Repo([], private=private)
        self.commit(repo_id, {".gitattributes": b"*.safetensors filter=lfs\n", **(files or {})}, "initial commit")

    def commit(self, repo_id: str, changes: dict[str, bytes | None], title: str = "by hand") -> str:
        """Put files into main behind the client's back; None deletes. Returns the commit's id."""
        repo = self.repos[repo_id]
        files = {**(repo.commits[-1].files if repo.commits else {}), **changes}
        files = {path: content for path, content in files.items() if content is not None}
        text = f"{repo_id}{title}{time.time_ns()}{len(repo.commits)}{self.endpoint}"
        repo.commits.append(Commit(hashlib.sha1(text.encode()).hexdigest(), title, files))
        return repo.commits[-1].oid

    def repo(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """path -> content."""
        return dict(self.repos[repo_id].at(revision).files)

    def tags(self, repo_id: str) -> dict[str, str]:
        """name -> commit."""
        return dict(self.repos[repo_id].tags)

    def commits(self, repo_id: str) -> list[str]:
        """Titles, oldest first."""
        return [commit.title for commit in self.repos[repo_id].commits]

    def fail(self, pattern: str, status: int = 0, *, times: int = 1, **what: object) -> None:
        """See ``Fault``. Faults are met in the order in which they were asked for."""
        self._faults.append(Fault(pattern, status, times=times, **what))

    def heal(self) -> None:
        self._faults.clear()

    def fault(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self._faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer

    def handle_error(self, *_: object) -> None:  # a client that went away, or one that we cut off
        pass


class _RefusedError(Exception):
    def __init__(self, status: int, message: str = "", code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # else 40 ms a request
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def answer_any(self) -> None:
        hub, fault = self.server.hub, self.server.hub.fault(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.delay:
            time.sleep(fault.delay)
        if fault and fault.cut:
            self.rfile.read(length // 2)
            return self.hang_up()
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(length)
        hub.requests.append(Request(self.command, self.path, dict(self.headers), body))
        if fault and fault.status:
            return self.reply(fault.status, {"error": "asked for"}, fault.headers)
        try:
            with hub.lock:
                status, content, headers = self.route(body)
        except _RefusedError as refusal:
            headers = {"X-Error-Message": refusal.message, "X-Error-Code": refusal.code}
            status, content = refusal.status, {"error": refusal.message}
        if fault and fault.lost:
            return self.hang_up()
        if fault and fault.spoilt:
            content = bytes([content[0] ^ 1]) + content[1:]
        self.reply(status, content, {k: v for k, v in headers.items() if v}, torn=bool(fault and fault.torn))

    do_GET = do_HEAD = do_POST = do_PUT = answer_any  # noqa: N815

    def reply(self, status: int, content: object, headers: dict[str, str], *, torn: bool = False) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if torn else data)
        self.wfile.flush()
        if torn:
            self.hang_up()

    def hang_up(self) -> None:
        """With a reset, not an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    # -- what the Hub knows ----------------------------------------------------------------------------------------------

    def route(self, body: bytes) -> tuple[int, object, dict[str, str]]:
        hub, url = self.server.hub, urlsplit(self.path)
        path, query = url.path, parse_qs(url.query)
        if self.command == "PUT" and (m := re.fullmatch(r"/lfs/([0-9a-f]{64})", path)):
            if hashlib.sha256(body).hexdigest() != m[1]:
                raise _RefusedError(400, "the blob is not what its name says")
            hub.blobs[m[1]] = body
            return 200, b"", {}
        if m := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            return 200, hub.blobs[m[1]], {"ETag": f'"{m[1]}"'}
        if path == "/lfs-verify":
            asked = json.loads(body)
            if len(hub.blobs.get(asked["oid"], b"")) != asked["size"]:
                raise _RefusedError(422, "the blob is not there")
            return 200, {}, {}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if path == "/api/repos/create":
            self.writer()
            asked = json.loads(body)
            repo_id = f"{asked.get('organization') or 'somebody'}/{asked['name']}"
            reply = {"url": f"{hub.endpoint}/{repo_id}", "id": "0"}
            if repo_id in hub.repos:
                return 409, {**reply, "error": "You already created this model repo"}, {}
            hub.create(repo_id, private=asked.get("visibility") == "private" or bool(asked.get("private")))
            return 200, reply, {}
        if m := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self.writer()
            self.known(m[1])
            return 200, {"transfer": "basic", "objects": [self.upload(o) for o in json.loads(body)["objects"]]}, {}
        if m := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.resolve(m[1], unquote(m[2]), unquote(m[3]))
        if m := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/([\w-]+)(?:/([^/]+))?(?:/(.+))?)?", path):
            what = getattr(self, f"{self.command.lower()}_{(m[2] or 'info').replace('-', '_')}", None)
            if what:
                return what(m[1], self.known(m[1]), unquote(m[3] or "main"), query if self.command == "GET" else body)
        raise _RefusedError(404, f"{self.command} {path} is not spoken here")

    def writer(self) -> None:
        given = self.headers.get("Authorization")
        if given == f"Bearer {self.server.hub.reader}":
            raise _RefusedError(403, "this token may not write")
        if given != f"Bearer {self.server.hub.token}":
            raise _RefusedError(401, "Invalid username or password.")

    def known(self, repo_id: str) -> Repo:
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {self.server.hub.token}", f"Bearer {self.server.hub.reader}"):
            raise _RefusedError(401, "Invalid credentials in Authorization header")
        repo = self.server.hub.repos.get(repo_id)
        if repo is None or (repo.private and given is None):
            raise _RefusedError(404 if given else 401, "Repository not found", "RepoNotFound")
        return repo

    def commit_at(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def upload(self, asked: dict) -> dict:
        hub = self.server.hub
        if len(hub.blobs.get(asked["oid"], b"")) == asked["size"]:
            return asked  # there already: nothing to do
        upload, verify = {"href": f"{hub.storage}/lfs/{asked['oid']}"}, {"href": f"{hub.endpoint}/lfs-verify"}
        return {**asked, "actions": {"upload": upload, "verify": verify}}

    def resolve(self, repo_id: str, revision: str, path: str) -> tuple[int, object, dict[str, str]]:
        commit = self.commit_at(self.known(repo_id), revision)
        if path not in commit.files:
            raise _RefusedError(404, "Entry not found", "EntryNotFound")
        content, headers = commit.files[path], {"X-Repo-Commit": commit.oid}
        if not LFS.fullmatch(path):
            return 200, content, {**headers, "ETag": f'"{_git_hash(content)}"'}
        oid = hashlib.sha256(content).hexdigest()
        self.server.hub.blobs[oid] = content
        linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
        return 302, b"", {**headers, **linked, "Location": f"{self.server.hub.storage}/lfs/{oid}"}

    # -- /api/models/OWNER/NAME/... --------------------------------------------------------------------------------------

    def get_info(self, repo_id: str, repo: Repo, revision: str, _: object) -> tuple[int, object, dict[str, str]]:
        commit = self.commit_at(repo, revision)
        siblings = [{"rfilename": path} for path in commit.files]
        return 200, {"id": repo_id, "modelId": repo_id, "sha": commit.oid, "private": repo.private, "siblings": siblings}, {}

    get_revision = get_info

    def get_refs(self, repo_id: str, repo: Repo, revision: str, _: object) -> tuple[int, object, dict[str, str]]:
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.commits[-1].oid}]
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid} for name, oid in repo.tags.items()]
        return 200, {"branches": branches, "converts": [], "tags": tags}, {}

    def get_commits(self, repo_id: str, repo: Repo, revision: str, _: object) -> tuple[int, object, dict[str, str]]:
        until = repo.commits.index(self.commit_at(repo, revision)) + 1
        return (
            200,
            [{"id": c.oid, "title": c.title, "message": "", "authors": [], "date": DATE} for c in reversed(repo.commits[:until])],
            {},
        )

    def get_tree(self, repo_id: str, repo: Repo, revision: str, query: dict) -> tuple[int, object, dict[str, str]]:
        return 200, [_entry(path, content) for path, content in self.commit_at(repo, revision).files.items()], {}

    def post_paths_info(self, repo_id: str, repo: Repo, revision: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
        files = self.commit_at(repo, revision).files
        return 200, [_entry(path, files[path]) for path in asked if path in files], {}

    def post_preupload(self, repo_id: str, repo: Repo, revision: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        self.writer()
        files = self.commit_at(repo, revision).files
        modes = []
        for file in json.loads(body)["files"]:
            lfs, content = LFS.fullmatch(file["path"]), files.get(file["path"])
            oid = content and (hashlib.sha256(content).hexdigest() if lfs else _git_hash(content))
            modes.append({"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid})
        return 200, {"files": modes}, {}

    def post_commit(self, repo_id: str, repo: Repo, revision: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        self.writer()
        changes: dict[str, bytes | None] = {}
        title = ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, repo.commits[-1].oid):
                    raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
            elif line["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.server.hub.blobs:
                    raise _RefusedError(400, "the blob was never uploaded")
                changes[value["path"]] = self.server.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFolder":
                changes |= {p: None for p in repo.commits[-1].files if p.startswith(value["path"].rstrip("/") + "/")}
            else:
                raise _RefusedError(400, f"{line['key']} is not spoken here")
        oid = self.server.hub.commit(repo_id, changes, title)
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.server.hub.endpoint}/{repo_id}/commit/{oid}"}, {}

    def post_tag(self, repo_id: str, repo: Repo, revision: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        self.writer()
        name = json.loads(body)["tag"]
        if name in repo.tags:
            return 409, {"error": f"Tag {name} exists"}, {}
        repo.tags[name] = self.commit_at(repo, revision).oid
        return 200, {}, {}


def _entry(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": _git_hash(content)}
    if LFS.fullmatch(path):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
