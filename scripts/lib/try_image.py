"""Runs the container image for real, and sends a session through it. Called by scripts/test.

    try_image.py LAYOUT PROFILE

With the seccomp profile the gateway must forward by io_uring, and without io_uring in the profile,
as engines' own profiles have it, by epoll, saying so. One CPU, no capability, a file system that
cannot be written, no limits but the machine's. To be started in a network namespace of its own.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request

NAME = "web.example"
GATEWAY = ("127.0.0.1", 8443)
BACKEND = ("127.0.0.1", 9000)
STATS = "http://127.0.0.1:19000/stats"
ROUTES = f'[[route]]\nsni = "{NAME}"\nendpoints = ["{BACKEND[0]}:{BACKEND[1]}"]\n'
CONFIGURATION = f"""
routes = "/routes.toml"
bind = "{GATEWAY[0]}:{GATEWAY[1]}"
drain-delay = "0"
"""
SOON_S = 20


def blob(layout: pathlib.Path, descriptor: dict) -> bytes:
    kind, digest = descriptor["digest"].split(":")
    content = (layout / "blobs" / kind / digest).read_bytes()
    assert len(content) == descriptor["size"], descriptor
    assert hashlib.new(kind, content).hexdigest() == digest, descriptor
    return content


def unpack(layout: pathlib.Path, root: pathlib.Path) -> dict:
    """Unpacks the image as an engine does, and returns its configuration."""
    (described,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = json.loads(blob(layout, described))
    configuration = json.loads(blob(layout, manifest["config"]))
    for layer, diff_id in zip(manifest["layers"], configuration["rootfs"]["diff_ids"], strict=True):
        files = gzip.decompress(blob(layout, layer))
        assert diff_id == "sha256:" + hashlib.sha256(files).hexdigest()
        with tarfile.open(fileobj=io.BytesIO(files)) as tar:
            tar.extractall(root, numeric_owner=True)
    return configuration["config"]


def bundle(image: dict, folder: pathlib.Path, profile: dict, args: list[str]) -> dict:
    """What the runtime is told (runtime-spec 1.0)."""
    user, group = image["User"].split(":")
    readonly = ["nosuid", "nodev", "noexec", "ro"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": image["Entrypoint"] + args,
            "cwd": image["WorkingDir"],
            "env": ["PATH=/"],
            "user": {"uid": int(user), "gid": int(group)},
            "noNewPrivileges": True,
        },
        "root": {"path": "root", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "mode=755"],
            },
            *(
                {
                    "destination": f"/{name}",
                    "type": "bind",
                    "source": str(folder / name),
                    "options": ["bind", *readonly],
                }
                for name in ("routes.toml", "sluice.toml")
            ),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
            "seccomp": profile,
        },
    }


def serve_echo() -> None:
    listener = socket.create_server(BACKEND)

    def echo(connection: socket.socket) -> None:
        with connection:
            while received := connection.recv(65536):
                connection.sendall(received)

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def hello() -> bytes:
    sent = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


def session() -> None:
    """Whatever is sent comes back: the hello first."""
    sent = hello() + os.urandom(1 << 20)
    with socket.create_connection(GATEWAY, SOON_S) as connection:
        writer = threading.Thread(target=connection.sendall, args=(sent,))
        writer.start()
        back = b""
        while len(back) < len(sent):
            received = connection.recv(1 << 20)
            assert received, f"closed after {len(back)} of {len(sent)} bytes"
            back += received
        writer.join()
    assert back == sent


def stats(container: subprocess.Popen) -> dict:
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            with urllib.request.urlopen(STATS, timeout=SOON_S) as answer:
                return json.load(answer)
        except OSError:
            assert container.poll() is None, container.stderr.read()
            assert time.monotonic() < deadline, "the gateway does not answer"
            time.sleep(0.05)


def run(folder: pathlib.Path, image: dict, profile: dict, name: str) -> dict:
    configuration = bundle(image, folder, profile, ["run", "--config", "/sluice.toml"])
    (folder / "config.json").write_text(json.dumps(configuration))
    cpu = str(max(os.sched_getaffinity(0)))
    runtime = ["taskset", "--cpu-list", cpu, "crun", "--cgroup-manager=disabled"]
    container = subprocess.Popen(
        [*runtime, "run", "--bundle", folder, name], stderr=subprocess.PIPE, text=True
    )
    try:
        stats(container)
        session()
        told = stats(container)
    finally:
        subprocess.run(["crun", "kill", name, str(int(signal.SIGTERM))], check=False)
        _, said = container.communicate(timeout=SOON_S)
    assert container.returncode == 0, said
    assert told["totals"]["routed"] == 1 and len(told["workers"]) == 1, told
    return {"engine": told["engine"], "said": said}


def main(layout: str, profile: str) -> None:
    allowing = json.loads(pathlib.Path(profile).read_text())
    refusing = json.loads(pathlib.Path(profile).read_text())
    (rule,) = refusing["syscalls"]
    rule["names"] = [name for name in rule["names"] if not name.startswith("io_uring")]
    threading.Thread(target=serve_echo, daemon=True).start()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        # The container's user has to get through.
        folder.chmod(0o755)
        image = unpack(pathlib.Path(layout), folder / "root")
        (folder / "routes.toml").write_text(ROUTES)
        (folder / "sluice.toml").write_text(CONFIGURATION)
        with_rings = run(folder, image, allowing, f"sluice-rings-{os.getpid()}")
        without = run(folder, image, refusing, f"sluice-epoll-{os.getpid()}")
    assert with_rings["engine"] == "io_uring", with_rings
    assert without["engine"] == "epoll", without
    assert "seccomp profile refuses io_uring" in without["said"], without
    print("figure: the image runs on io_uring with its profile, and on epoll without")


if __name__ == "__main__":
    main(*sys.argv[1:])
