"""`python3 -m deepseek_runtime.engine.check`: whether adapters are of the model that is served, and all of them is read.

It runs before engines that compare shapes alone, and needs nothing but Python. A model that was exported here has the
hashes of its files in its manifest; a folder that somebody brought is read once, about two seconds for each GB, where an
adapter says what its base was. Arguments name layers of which the engine to come reads no adapter.
"""

import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path

from deepseek_runtime import termination
from deepseek_runtime.checkpoint.integrity import sha256_of
from deepseek_runtime.checkpoint.volume import read_manifest
from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.engine.settings import Settings, read_settings
from deepseek_runtime.model_folder.adapter import (
    BASE_FIELD,
    base_files,
    check_adapter,
    digest_of,
    refuse_experts,
    refuse_other_base,
    refuse_unread,
)
from deepseek_runtime.stopping import release


def main(unread: Collection[str] = ()) -> int:
    """Returns 0, or 64 with the termination message where an adapter is no whole one, or another model's."""
    try:
        check(read_settings(os.environ), unread)
    except (Invalid, ValueError) as error:
        print(f"check: {error}", file=sys.stderr, flush=True)
        log = Path(os.environ.get(termination.PATH_VARIABLE) or termination.DEFAULT_PATH)
        termination.write(termination.Termination(termination.result_of(ExitCode.INVALID), str(error)), log)
        return ExitCode.INVALID
    return 0


def check(settings: Settings, unread: Collection[str] = ()) -> None:
    """Raises Invalid for an adapter of another base or of unread layers, or a folder that is none; ValueError for wrong
    settings."""
    configs = {adapter.name: check_adapter(adapter.path) for adapter in settings.adapters}
    for adapter in settings.adapters:
        refuse_experts(adapter.name, adapter.path)
        refuse_unread(adapter.name, adapter.path, unread)
    if any(BASE_FIELD in config for config in configs.values()):
        digest = base_digest(settings.model_path)
        for name, config in configs.items():
            refuse_other_base(name, config, digest)


def base_digest(path: Path) -> str:
    """What an adapter names the served model by. The hashes of a whole export are in its manifest."""
    manifest = read_manifest(path)
    known = {file.path: file.sha256 for file in manifest.files} if manifest is not None else {}
    return digest_of((file.name, known.get(file.name) or sha256_of(file)) for file in base_files(path))


if __name__ == "__main__":
    # Nothing is lost by leaving: the kubelet starts it again.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    release()
    sys.exit(main(sys.argv[1:]))
