"""Packs a static binary as an OCI image layout (image-spec 1.0). Called by scripts/image.

Nothing in it depends on the time or the machine: times are SOURCE_DATE_EPOCH, owners are fixed.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import sys
import tarfile

USER = 64535
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PASSWD = f"root:x:0:0::/:/none\nsluice:x:{USER}:{USER}::/:/none\n"
GROUP = f"root:x:0:\nsluice:x:{USER}:\n"


def layer(binary: pathlib.Path, epoch: int) -> bytes:
    """The file system: the binary, its user, and a folder for its state."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, content: bytes | None, mode: int, owner: int = 0) -> None:
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.mode, entry.uid, entry.gid = epoch, mode, owner, owner
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

        add("etc", None, 0o755)
        add("etc/group", GROUP.encode(), 0o644)
        add("etc/passwd", PASSWD.encode(), 0o644)
        for licence in ("LICENSE-APACHE", "LICENSE-MIT"):
            add(licence, pathlib.Path(licence).read_bytes(), 0o644)
        add("sluice", binary.read_bytes(), 0o755)
        add("var", None, 0o755)
        add("var/lib", None, 0o755)
        add("var/lib/sluice", None, 0o750, USER)
    return packed.getvalue()


def configuration(diff_id: str, epoch: int) -> dict:
    moment = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    created = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": created,
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": ["/sluice"],
            "Cmd": ["run", "--help"],
            "WorkingDir": "/",
            "ExposedPorts": {"8443/tcp": {}},
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": "sluice",
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "created_by": "scripts/image"}],
    }


class Layout:
    """A folder of blobs by their digests."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)

    def put(self, media_type: str, blob: bytes) -> dict:
        digest = hashlib.sha256(blob).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(blob)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(blob)}

    def put_json(self, media_type: str, value: dict) -> dict:
        return self.put(media_type, encoded(value))


def encoded(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main(binary: str, output: str) -> None:
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    layout = Layout(pathlib.Path(output))
    files = layer(pathlib.Path(binary), epoch)
    diff_id = "sha256:" + hashlib.sha256(files).hexdigest()
    prefix = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{prefix}.manifest.v1+json",
        "config": layout.put_json(f"{prefix}.config.v1+json", configuration(diff_id, epoch)),
        "layers": [
            layout.put(f"{prefix}.layer.v1.tar+gzip", gzip.compress(files, 9, mtime=0))
        ],
    }
    described = layout.put_json(manifest["mediaType"], manifest)
    index = {"schemaVersion": 2, "manifests": [described]}
    (layout.folder / "index.json").write_bytes(encoded(index))
    (layout.folder / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))
    print(described["digest"])


if __name__ == "__main__":
    main(*sys.argv[1:])
