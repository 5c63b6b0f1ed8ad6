"""Images: what an archive says and carries."""

import json
import os
import tarfile
from pathlib import Path

from examples.local_cluster import oci
from examples.local_cluster.oci import Image, Layer


def layer(folder: Path, name: str, content: str) -> Layer:
    file = folder / f"{name}.txt"
    file.write_text(content)
    return oci.write_layer([(f"/data/{name}", file)], folder / f"{name}.tar")


def blobs(archive: Path) -> set[str]:
    with tarfile.open(archive) as opened:
        return {name.removeprefix("blobs/sha256/") for name in opened.getnames() if name.startswith("blobs/")}


def test_a_layer_is_named_by_the_digest_of_its_tar(tmp_path: Path) -> None:
    made = layer(tmp_path, "a", "content")
    assert made == Layer(
        tmp_path / "a.tar", oci.digest_of_file(tmp_path / "a.tar"), (tmp_path / "a.tar").stat().st_size
    )


def test_time_owner_and_umask_of_the_builder_do_not_change_a_layer(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("same")
    file.chmod(0o600)
    first = oci.write_layer([("file", file)], tmp_path / "first.tar")
    os.utime(file, (1, 1))
    file.chmod(0o664)
    assert oci.write_layer([("file", file)], tmp_path / "second.tar").digest == first.digest


def test_every_user_can_read_and_root_owns_what_a_layer_holds(tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text("#!/bin/sh")
    script.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(script, 1234, 1234)
    oci.write_layer([("/bin/run", script)], tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as opened:
        info = opened.getmember("bin/run")
    assert (info.mode, info.uid, info.gid, info.uname) == (0o755, 0, 0, "")


def test_links_stay_links_and_hard_links_become_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "hard").hardlink_to(tmp_path / "file")
    (tmp_path / "soft").symlink_to("file")
    oci.write_layer([(name, tmp_path / name) for name in ("file", "hard", "soft")], tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as opened:
        assert [info.type for info in opened] == [tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE]


def test_files_are_listed_in_order_and_without_what_is_skipped(tmp_path: Path) -> None:
    for name in ("b/two.py", "a/one.py", "a/__pycache__/one.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = [name for name, _ in oci.files_below(tmp_path, "/site", skip=frozenset({"__pycache__"}))]
    assert found == ["/site/a", "/site/a/one.py", "/site/b", "/site/b/two.py"]


def test_the_manifest_names_configuration_and_layers_from_the_bottom_up(tmp_path: Path) -> None:
    lower, upper = layer(tmp_path, "lower", "1"), layer(tmp_path, "upper", "2")
    image = Image("example.org/image:dev", (lower, upper), ("run",), "1000:1000", {"B": "2", "A": "1"})
    manifest, config = json.loads(image.manifest()), json.loads(image.config())
    assert manifest["config"]["digest"] == oci.digest_of(image.config())
    assert [entry["digest"] for entry in manifest["layers"]] == [lower.digest, upper.digest]
    assert config["rootfs"]["diff_ids"] == [lower.digest, upper.digest]
    assert config["config"] == {"Entrypoint": ["run"], "User": "1000:1000", "Env": ["A=1", "B=2"], "WorkingDir": "/"}


def test_an_archive_carries_only_the_layers_that_are_absent(tmp_path: Path) -> None:
    present, absent = layer(tmp_path, "present", "1"), layer(tmp_path, "absent", "2")
    image = Image("example.org/image:dev", (present, absent))
    oci.write_archive(image, [absent], tmp_path / "image.tar")
    expected = {absent.digest, oci.digest_of(image.manifest()), oci.digest_of(image.config())}
    assert {f"sha256:{name}" for name in blobs(tmp_path / "image.tar")} == expected


def test_the_index_gives_the_image_the_name_that_pods_use(tmp_path: Path) -> None:
    image = Image("example.org/image:dev", (layer(tmp_path, "only", "1"),))
    entry = json.loads(image.index())["manifests"][0]
    assert entry["annotations"]["io.containerd.image.name"] == "example.org/image:dev"
    assert (entry["digest"], entry["size"]) == (oci.digest_of(image.manifest()), len(image.manifest()))
