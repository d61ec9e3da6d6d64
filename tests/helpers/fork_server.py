"""Our programs as processes of their own, without importing torch, Gradio and Flower in each, which takes 3 to 6 s of a core.

``Popen`` and ``run`` stand for those of ``subprocess``. A fork server, one for each test process and set of libraries, imports
the libraries once. It forks a process for each program. That process has its own process id, arguments, environment, folder and
standard streams, and imports our code itself. The keepers and Flower's commands that it starts are forked, too: each program
has a fork server as its child, forked before the program had threads. So all processes descend from each other as usual.

Where an environment differs in a variable that a library may read while it is imported, and on other systems than Linux, the
program is started as usual. Tests of how programs start and of what they import use ``subprocess``.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = {
    "designer": """
        PIL.Image PIL.ImageCms PIL.ImageDraw PIL.ImageFilter PIL.ImageOps confusable_homoglyphs.confusables cryptography.x509 cv2
        cryptography.hazmat.primitives.serialization filelock flwr.app flwr.cli.build flwr.clientapp flwr.proto.fleet_pb2
        flwr.serverapp flwr.supercore.inflatable.inflatable_utils flwr.supercore.superexec.run_superexec
        flwr.supernode.runtime.run_clientapp flwr.supernode.start_client_internal h11 httpx jinja2 psutil rich.console rich.live
        rich.progress rich.prompt rich.table safetensors.torch scipy.ndimage scipy.spatial skimage.morphology
        starlette.background starlette.requests starlette.routing torch torch.nn.utils.parametrizations torch.utils.data
        tqdm.auto uvicorn""",
    "studio": """
        studio.without_stubs alembic.command fastapi.responses flwr.server.superlink.linkstate flwr.supercore.control
        flwr.superlink.runtime.run_serverapp gradio.queueing gradio.routes huggingface_hub.hub_mixin sqlalchemy sqlite3
        uvicorn.loops.auto uvicorn.protocols.http.auto""",
}
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # as our programs set
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_FREE = {"COLUMNS", "FLWR_HOME", "PATH", "PYTHONPATH", "PYTHONUNBUFFERED", *QUIET}
_FREE |= {"BROWSER_USE_SETUP_LOGGING", "GRPC_VERBOSITY"}  # Flower sets them itself
_FREE |= {"TORCHINDUCTOR_CACHE_DIR"}  # torch sets it when it is first asked for, in the tests through diffusers
_HUB = {"HF_ENDPOINT", "HF_HUB_DISABLE_XET", "HF_TOKEN"}  # the designer's libraries are without huggingface_hub
_OF_GRADIO = {"GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"}  # our programs set them before and after they import Gradio
FREE = {  # variables that none of these libraries reads while it is imported. Gradio makes an HTTP client then
    "designer": {*_FREE, *_HUB, "HOME", "LOGNAME", "TMPDIR", "USER", *_PROXIES, *map(str.lower, _PROXIES)},
    "studio": {*_FREE, *_OF_GRADIO, "NO_PROXY", "no_proxy"},  # which the host sets to this machine
}
NESTED = ("keeper.py", "flower_commands.py")  # what a forked program forks itself, beside what makes the SuperLink's database
_POPEN = tuple(inspect.signature(subprocess.Popen._execute_child).parameters)[1:] if sys.platform == "linux" else ()
_PLAIN = {"shell": False, "pass_fds": (), "gid": None, "gids": None, "uid": None, "process_group": -1}
_ROOM = 8192  # bytes for a program's command line, which other programs can read

_servers = dict[str, "ForkServer"]()  # by libraries
_environment = dict[str, str]()  # that the libraries were imported in
_forked = ""  # in a forked program, its libraries


class Popen(subprocess.Popen):
    """``subprocess.Popen``. ``sys.executable`` with ``-c``, ``-m`` or a file is forked where the environment allows it.

    Args:
        libraries: "designer" or "studio", which has more. Where the environment allows "designer" alone, that one is used.
            In a forked program, those that it has.
    """

    _ended: BinaryIO | None = None  # a pipe: the exit status, where the fork server waits for the process in place of this one

    def __init__(self, arguments: Any, *rest: Any, libraries: str = "designer", **options: Any) -> None:
        self._libraries = _forked or libraries
        super().__init__(arguments, *rest, **options)

    def _execute_child(self, *given: Any) -> None:
        options = dict(zip(_POPEN, given, strict=True))
        given_environment = options.get("env")
        environment = {str(k): str(v) for k, v in (os.environ if given_environment is None else given_environment).items()}
        if not self._can_be_forked(options, environment):
            super()._execute_child(*given)
            return
        request = {
            "arguments": [str(a) for a in self.args],
            "environment": environment,
            "folder": str(options["cwd"] or os.getcwd()),
            "session": options["start_new_session"],
            "umask": options["umask"],
        }
        streams = [options[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [i if s == -1 else s for i, s in enumerate(streams)]
        if options["preexec_fn"] is None:
            reading, ended = os.pipe()
            self._ended = open(reading, "rb", buffering=0)
            self.pid = _servers[self._libraries].fork(request, [*streams, ended])
            os.close(ended)
        else:
            self.pid = os.fork()
            if self.pid == 0:
                _run_in_place(request, streams, options["preexec_fn"])
        self._child_created = True
        self._close_pipe_fds(*(options[n] for n in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")))

    def _can_be_forked(self, options: dict[str, Any], environment: dict[str, str]) -> bool:
        if not options or isinstance(self.args, str | bytes) or self.args[0] != sys.executable:
            return False
        words = [str(word) for word in self.args[1:]]
        script = next(filter(lambda word: word not in ("-I", "-P"), words), "-")
        if any(options.get(k, v) != v for k, v in _PLAIN.items()) or (script.startswith("-") and script not in ("-c", "-m")):
            return False
        if _forked:
            alone = threading.active_count() == 1
            nested = Path(script).name in NESTED or (script == "-c" and "flwr.superlink" in words[words.index(script) + 1])
            if not nested or (options["preexec_fn"] is not None and not alone):
                return False
        elif options["preexec_fn"] is not None:
            return False
        else:
            server("designer")
        different = {k for k in environment.keys() | _environment.keys() if environment.get(k) != _environment.get(k)}
        different = {name for name in different if not name.startswith(("FEDGAI_", "PYTEST_"))}
        if _forked:
            return different <= FREE["designer"] | _OF_GRADIO
        if not different <= FREE[self._libraries]:
            self._libraries = "designer"
        server(self._libraries)
        return different <= FREE[self._libraries]

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self._ended is None:
            return super()._internal_poll(*given, **named)
        return self._status(0)

    def _wait(self, timeout: float | None) -> int:
        if self._ended is None:
            return super()._wait(timeout)
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._ended, select.POLLIN | select.POLLHUP)
            if waiting.poll(None if timeout is None else 1000 * max(0.0, timeout)):  # without a lock: others may ask meanwhile
                with self._waitpid_lock:
                    if self.returncode is None:
                        self.returncode = int(self._ended.read(64) or -signal.SIGKILL)
        return self.returncode


def run(
    arguments: list[Any], capture_output: bool = False, timeout: float | None = None, check: bool = False, **options: Any
) -> subprocess.CompletedProcess:
    """``subprocess.run``, as far as the tests use it."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(arguments, **options) as process:
        try:
            out, error = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, error)
    if check:
        done.check_returncode()
    return done


@contextlib.contextmanager
def forked(module: types.ModuleType, libraries: str) -> Iterator[None]:
    """Processes that a module of ours starts in the block are forked."""
    usual = module.subprocess
    forking = {function.__name__: functools.partial(function, libraries=libraries) for function in (Popen, run)}
    module.subprocess = types.SimpleNamespace(**{**vars(subprocess), **forking})
    try:
        yield
    finally:
        module.subprocess = usual


class ForkServer:
    """A process that has imported libraries and forks programs. It ends when the process that made it ends.

    Args:
        connection: a socket to it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def fork(self, request: dict[str, Any], files: list[int]) -> int:
        """The process id of a new process, which gets these files: its standard streams, and a pipe for its exit status."""
        with self._lock:
            socket.send_fds(self._connection, [json.dumps(request).encode()], files)
            return int(self._connection.recv(64))


def server(libraries: str) -> ForkServer:
    """This test process's fork server with these libraries. The studio's is forked from the designer's."""
    if not _environment:
        _environment.update(os.environ | QUIET)
    if libraries not in _servers:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from helpers import fork_server; fork_server.serve({libraries!r})"
        start = subprocess.Popen if libraries == "designer" else Popen
        with theirs:
            paths = [str(ROOT / "tests"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = _environment | {"PYTHONPATH": os.pathsep.join(paths)}
            start([sys.executable, "-c", code, " " * _ROOM], cwd=ROOT, env=environment, stdin=theirs)
        _servers[libraries] = ForkServer(ours)
    return _servers[libraries]


# -- in the fork server ------------------------------------------------------------------------------------------------


def serve(libraries: str) -> None:
    """Fork what is asked for over standard input, a socket. Returns in a forked process, when its program has ended."""
    global _forked
    paths = [p for p in sys.path if p not in ("", *os.environ["PYTHONPATH"].split(os.pathsep))]
    _environment.update(os.environ)
    for name in LIBRARIES[libraries].split():
        importlib.import_module(name)
    for name in ("studio.without_stubs", "studio"):
        sys.modules.pop(name, None)  # each program imports our code itself
    gc.collect()
    gc.freeze()
    _forked = libraries
    connection: socket.socket | None = socket.socket(fileno=os.dup(0))
    while connection is not None:
        _close_streams()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, and ends this with them
        request, files = _next(connection)
        _take_over(request, files)
        connection = _fork_nested()
    _run(request, paths)


def _close_streams() -> None:
    with open(os.devnull, "r+b") as nothing:
        for stream in range(3):
            os.dup2(nothing.fileno(), stream)


def _next(asked: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request; returns in the new process, with the request and its standard streams."""
    pipes = dict[int, int]()  # process id -> pipe for its exit status
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    waiting = select.poll()
    waiting.register(asked, select.POLLIN)
    waiting.register(woken, select.POLLIN)
    while True:
        ready = {file for file, _ in waiting.poll()}
        if woken in ready:
            os.read(woken, 4096)
            _report_ended(pipes)
        if asked.fileno() not in ready:
            continue
        message, files, _, _ = socket.recv_fds(asked, 1 << 20, 4)
        if not message:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for file in (woken, wake, files[3], *pipes.values()):
                os.close(file)
            asked.close()
            return json.loads(message), files[:3]
        pipes[pid] = files[3]
        for file in files[:3]:
            os.close(file)
        asked.send(str(pid).encode())


def _report_ended(pipes: dict[int, int]) -> None:
    while pipes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        pipe = pipes.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipe)


def _fork_nested() -> socket.socket | None:
    """Fork a fork server for what this program will start. Returns None in the program, and its socket in the fork server."""
    _servers.clear()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        _servers[_forked] = ForkServer(ours)
        return None
    ours.close()
    _name_process(["fork-server"])
    return theirs


# -- in a forked process -----------------------------------------------------------------------------------------------


def _take_over(request: dict[str, Any], files: list[int]) -> None:
    """What a new process gets from its parent: signals, session, environment, folder, streams and command line."""
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["session"]:
        os.setsid()
    if request["umask"] >= 0:
        os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for stream, file in enumerate(files):
        os.dup2(file, stream)
    for file in {file for file in files if file > 2}:
        os.close(file)
    _name_process(request["arguments"])


def _name_process(words: list[str]) -> None:
    """Write a command line over that of this process, where ``ps`` and psutil read it."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, see proc(5)
    line = b"".join(word.encode() + b"\0" for word in words)[: end - start - 1]
    ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


def _run_in_place(request: dict[str, Any], files: list[int], before: Any) -> None:
    """Run a program in a process that was forked from within another program. Does not return."""
    try:
        paths = [p for p in sys.path if p not in (sys.path[0], *os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        _take_over(request, files)
        os.closerange(3, 1024)
        before()
        while (connection := _fork_nested()) is not None:
            _close_streams()
            request, files = _next(connection)
            _take_over(request, files)
        status = 0
        try:
            _run(request, paths)
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _run(request: dict[str, Any], paths: list[str]) -> None:
    """Run a program in this process as Python does that was started with these arguments.

    Args:
        paths: of Python's own library and of the libraries.
    """
    import numpy as np

    tempfile.tempdir = None  # found again: TMPDIR may be another
    np.random.seed()  # else each of them would draw the same numbers
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        errors = "backslashreplace" if name == "stderr" else None
        buffering = 1 if name == "stderr" or unbuffered or os.isatty(number) else -1
        stream = open(number, mode, buffering, errors=errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    subprocess.Popen = Popen
    words = request["arguments"][1:]
    own = [] if "-I" in words[:1] else list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    kind, *rest = words[1:] if words[0] in ("-I", "-P") else words
    first = {"-c": "", "-m": os.getcwd()}.get(kind, str(Path(kind).resolve().parent))
    sys.path[:] = [*([first] if kind == words[0] else []), *own, *paths]
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ModuleNotFoundError):  # Python imports it, where PYTHONPATH has one, before any program
        importlib.import_module("sitecustomize")
    _before.append(sys.modules["__main__"])
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if kind == "-m":
        sys.argv[:] = rest
        runpy._run_module_as_main(rest[0])
        return
    code, name = (rest.pop(0), "<string>") if kind == "-c" else (Path(kind).read_text(encoding="utf-8"), kind)
    sys.argv[:] = [kind, *rest]
    if kind != "-c":
        main.__file__ = name
    exec(compile(code, name, "exec"), main.__dict__)


_before = list[types.ModuleType]()  # main modules of programs that this process was forked from: kept, or their names are emptied
