"""Bundles taken apart and written by hand, for tests of what is refused."""

import hashlib
import json
import zipfile

from dspkd.deploy.bundle.reader import MANIFEST


def contents(path):
    """Return the members of a bundle, the manifest left out."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


def manifest_of(members, **changes):
    listed = {name: {"sha256": hashlib.sha256(b).hexdigest(), "bytes": len(b)} for name, b in members.items()}
    return json.dumps({"format": "dspkd-bundle", "version": 2, "files": listed, **changes}).encode()


def write(path, files, manifest=None, compression=zipfile.ZIP_STORED):
    """Write a bundle by hand from {name or ZipInfo: bytes}, with a matching manifest unless one is given."""
    plain = {getattr(name, "filename", name): content for name, content in files.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(MANIFEST, manifest_of(plain) if manifest is None else manifest)
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def edited(path, files, name, change):
    """Write a bundle whose JSON file `name` was changed by `change`, with a matching manifest."""
    content = json.loads(files[name])
    change(content)
    return write(path, {**files, name: json.dumps(content).encode()})
