"""A project of one stage whose outputs are in a bucket, and DVC in this process: for tests that push and pull often."""

import hashlib
import random
import re
import shutil
from pathlib import Path

from dvc.repo import Repo

from tests.s3_store import BUCKET, Store

FILES = ("data/a.bin", "data/b.bin", "data/deep/c.bin", "model.bin")
_YAML = "stages:\n  make:\n    cmd: 'true'\n    outs: [data, model.bin]\n"
_CONFIG = """[core]
    no_scm = True
    analytics = false
    check_update = false
    site_cache_dir = {site}
    remote = store
['remote "store"']
    url = s3://{bucket}/{prefix}
    endpointurl = {endpoint}
    verify = true
    read_timeout = 60
"""


class SharedProject:
    """A clone of the project, with an empty cache.

    Args:
        folder: does not exist yet.
        store: where its remote is.
        prefix: of the remote in the bucket.
        bucket: another one than that of the store, for example one that does not exist.
    """

    def __init__(self, folder: Path, store: Store, prefix: str = "project", bucket: str = BUCKET) -> None:
        self.folder = folder
        (folder / ".dvc").mkdir(parents=True)
        site = folder.with_name(f"{folder.name}-site")
        config = _CONFIG.format(site=site, bucket=bucket, prefix=prefix, endpoint=store.url)
        (folder / ".dvc" / "config").write_text(config, encoding="utf-8")
        (folder / "dvc.yaml").write_text(_YAML, encoding="utf-8")

    def make(self) -> None:
        """Writes the outputs, as the stage would, and records them."""
        for number, name in enumerate(FILES):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random.Random(number).randbytes(3000 + number))
        with Repo(str(self.folder)) as repo:
            repo.commit(force=True)

    def follow(self, other: "SharedProject") -> "SharedProject":
        """Takes the commit of another clone."""
        shutil.copy(other.folder / "dvc.lock", self.folder / "dvc.lock")
        return self

    def wait_at_most(self, seconds: int) -> None:
        """Sets how long DVC waits for an answer; at first 60 s, which a busy machine does not exceed."""
        config = self.folder / ".dvc" / "config"
        config.write_text(re.sub(r"(?<=read_timeout = )\d+", str(seconds), config.read_text("utf-8")), encoding="utf-8")

    def push(self) -> Exception | None:
        """Runs `dvc push`; returns what it raises."""
        return self._run("push")

    def pull(self) -> Exception | None:
        """Runs `dvc pull`; returns what it raises."""
        return self._run("pull")

    def _run(self, name: str) -> Exception | None:
        try:
            with Repo(str(self.folder)) as repo:
                getattr(repo, name)()
        except Exception as error:  # whatever a fault of the store leads to
            return error
        return None

    def contents(self) -> dict[str, bytes]:
        """The files of the outputs."""
        found = [self.folder / "model.bin", *(self.folder / "data").rglob("*")]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found if path.is_file()}

    def damaged(self) -> list[str]:
        """The objects in the cache that are not what their names say."""
        files = self.folder / ".dvc" / "cache" / "files" / "md5"
        return [
            path.relative_to(files).as_posix()
            for path in files.glob("??/*")
            if not path.name.endswith(".tmp") and md5(path.read_bytes()) != (path.parent.name + path.name).removesuffix(".dir")
        ]


def damaged_objects(store: Store, prefix: str) -> list[str]:
    """The objects below a prefix of the store that are not what their names say."""
    named = {name: "".join(name.split("/")[-2:]).removesuffix(".dir") for name in store.names(f"{prefix}/files/md5/")}
    return [name for name, digest in named.items() if md5(store.read(name)) != digest]


def md5(content: bytes) -> str:
    """The hash by which DVC names a content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
