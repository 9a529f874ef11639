"""Starts a ComfyUI on a free port and talks to it: prompts over HTTP, events over its websocket."""

import base64
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACK = "ComfyUI-MagPlus"
START_S = 180
_OPENER = urllib.request.build_opener()
ENDS = ("execution_success", "execution_error", "execution_interrupted")


@dataclass
class Run:
    """What became of a prompt. ``events``: (seconds since it was queued, type, data); previews as "preview"."""

    status: str = "refused"
    prompt_id: str = ""
    events: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)
    error: object = None

    @property
    def cached(self):
        """Nodes that were not run again."""
        return {n for _, kind, data in self.events if kind == "execution_cached" for n in data["nodes"]}

    @property
    def executed(self):
        """Nodes that were run."""
        return {data["node"] for _, kind, data in self.events if kind == "executing" and data.get("node")}

    def of(self, kind):
        """Data of the events of one kind."""
        return [data for _, k, data in self.events if k == kind]


class Server:
    """One ComfyUI with its own folders."""

    def __init__(self, *, checkout, base, packs, python, pythonpath):
        self.checkout, self.base, self.python, self.pythonpath = checkout, base, python or sys.executable, pythonpath
        for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (base / name).mkdir(exist_ok=True)
        self.packs = list(packs)
        for name, folder in packs.items():
            (base / "custom_nodes" / name).symlink_to(folder, target_is_directory=True)
        self.log = base / "server.log"
        self._process = None
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def version(self):
        """(0, 33, 0)"""
        return tuple(int(n) for n in self.get("/system_stats")["system"]["comfyui_version"].lstrip("v").split("."))

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        words = [
            self.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port),
            "--base-directory", str(self.base), "--database-url", f"sqlite:///{self.base}/comfyui.db",
            "--disable-auto-launch", "--disable-all-custom-nodes", "--whitelist-custom-nodes", *self.packs,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        if self.pythonpath:
            environment["PYTHONPATH"] = self.pythonpath
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                words, cwd=self.checkout, env=environment, stdout=log, stderr=subprocess.STDOUT
            )  # fmt: skip
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self.get("/system_stats")
                return
            time.sleep(0.5)
        self.stop()
        raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def restart(self):
        self.stop()
        self.start()

    def get(self, path):
        with _OPENER.open(self.url + path, timeout=60) as answer:
            return json.loads(answer.read())

    def status_of(self, path):
        """HTTP status and size of what lies there."""
        try:
            with _OPENER.open(self.url + path, timeout=60) as answer:
                return answer.status, len(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, 0

    def post(self, path, data):
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(data).encode(), headers)  # noqa: S310 - our server
        with _OPENER.open(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def files(self, folder="output"):
        """Everything below a folder, hidden files included."""
        return {path.relative_to(self.base / folder) for path in (self.base / folder).rglob("*") if path.is_file()}

    def run(self, prompt, *, workflow=None, interrupt=None, timeout=300):
        """Queue a prompt and wait for its end. ``interrupt(kind, data)`` true: cancel at that event."""
        client, run = uuid.uuid4().hex, Run()
        with _WebSocket(self.port, f"/ws?clientId={client}", timeout) as events:
            events.send({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
            extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
            try:
                run.prompt_id = self.post("/prompt", {"prompt": prompt, "client_id": client, "extra_data": extra})[
                    "prompt_id"
                ]
            except urllib.error.HTTPError as error:
                run.error = json.loads(error.read())
                return run
            self._listen(events, run, interrupt)
        run.outputs = {data["node"]: data["output"] for data in run.of("executed")}
        return run

    def _listen(self, events, run, interrupt):
        began = time.monotonic()
        for kind, data in events:
            if data.get("prompt_id") not in (None, run.prompt_id):
                continue
            now = time.monotonic() - began
            run.events.append((now, kind, data))
            if kind in ENDS:
                run.status, run.error = kind, data.get("exception_message")
                return
            if interrupt is not None and interrupt(kind, data):
                interrupt = None
                run.events.append((now, "asked to stop", {}))
                self.post("/interrupt", {"prompt_id": run.prompt_id})


class _WebSocket:
    """The reading half of RFC 6455, and one way to send a short text."""

    def __init__(self, port, path, timeout):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        self._file = self._socket.makefile("rb")
        while self._file.readline().strip():
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def send(self, data):
        text, mask = json.dumps(data).encode(), os.urandom(4)
        assert len(text) < 126
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
        self._socket.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)

    def __iter__(self):
        """(type, data) of each message; pictures as ("preview", {"node", "bytes"}), words as ("text", ...)."""
        while True:
            first, second = self._file.read(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self._file.read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._file.read(8))
            body = self._file.read(size)
            if first & 0x0F == 1:
                message = json.loads(body)
                yield message["type"], message.get("data") or {}
            elif first & 0x0F == 2 and int.from_bytes(body[:4], "big") == 4:
                length = int.from_bytes(body[4:8], "big")
                header = json.loads(body[8 : 8 + length])
                yield "preview", {"node": header.get("node_id"), "bytes": body[8 + length :]}
            elif first & 0x0F == 2 and int.from_bytes(body[:4], "big") == 3:
                length = int.from_bytes(body[4:8], "big")
                yield "text", {"node": body[8 : 8 + length].decode(), "text": body[8 + length :].decode()}
            elif first & 0x0F == 8:
                raise ConnectionError("the server closed the connection")
