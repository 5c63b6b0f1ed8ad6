"""Whatever lies on a claim, and whatever is said to be in use: what goes is ours, unnamed, unused for a while, and no more than lacks."""

import json
import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deepseek_runtime.fetcher.eviction import GRACE_S, Usage, evict, fewest, unused
from deepseek_runtime.fetcher.store import Folder
from tests.support.search import search

NOW, MINE = 1_800_000_000.0, "mine"
PLACES = ("hf/a--b", "hf/datasets--a--b", "s3/bucket--c")
SELDOM = st.sampled_from([False] * 5 + [True])
FOLDER = st.fixed_dictionaries(
    {
        "place": st.sampled_from(PLACES),
        "revision": st.sampled_from([f"{digit}" * 40 for digit in "01"] + ["2" * 40 + "-" + "3" * 12]),
        "age": st.sampled_from([-5.0, 0.0, GRACE_S - 1, GRACE_S + 1, GRACE_S * 2, 2e5, 1e6]),
        "size": st.integers(0, 5),
        "claims": st.sampled_from([[MINE]] * 5 + [[MINE, "theirs"], ["theirs"], []]),
        "is_named": SELDOM,
        "has_more": SELDOM,
        "has_less": SELDOM,
    }
)


def lay(root: Path, told: dict[str, object]) -> Folder:
    folder = Folder(root, str(told["place"]), str(told["revision"]))
    folder.path.mkdir(parents=True)
    if not told["has_less"]:
        (folder.path / "a").write_bytes(b"x" * int(str(told["size"])))
    if told["has_more"]:
        (folder.path / "mine").write_text("of a user")
    files = [{"path": "a", "size": told["size"], "sha256": "0"}]
    folder.beside(".json").write_text(json.dumps({"formatVersion": 1, "uri": "x", "digest": "y", "files": files}))
    folder.beside(".claims").write_text(json.dumps({"uids": told["claims"]}))
    at = NOW - float(str(told["age"]))
    os.utime(folder.beside(".json"), (at, at))
    return folder


@given(
    st.lists(FOLDER, max_size=6, unique_by=lambda one: (one["place"], one["revision"])),
    st.sampled_from([frozenset(), frozenset({"hf"}), frozenset({"s3"})]),
    st.integers(0, 20),
)
@search(120, 1)
def test_only_what_nobody_uses_goes(told: list[dict[str, object]], spared: frozenset[str], lacking: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        laid = {lay(Path(root), one): one for one in told}
        named = tuple(f"{one.place}/{one.name}" for one, said in laid.items() if said["is_named"])
        usage = Usage(MINE, named, NOW, spared)
        found = unused(Path(root), usage)
        may = {
            folder
            for folder, one in laid.items()
            if not (one["has_more"] or one["has_less"])
            and one["claims"] == [MINE]
            and float(str(one["age"])) > GRACE_S
            and folder.place[:2] not in spared
            and not any(f"{folder.place}/{folder.name}".startswith(path) for path in named)
        }
        assert {one.folder for one in found} == may
        assert [one.since for one in found] == sorted(one.since for one in found)
        chosen = fewest(found, lacking)
        assert (chosen is None) == (sum(one.size for one in found) < lacking)
        if chosen:
            assert list(chosen) == list(found[: len(chosen)])
            assert sum(one.size for one in chosen[:-1]) < lacking
        for one in chosen or ():
            assert evict(one, usage)
        gone = {one.folder for one in chosen or ()}
        assert {folder for folder in laid if not folder.path.exists()} == gone
        assert {folder for folder in laid if not folder.beside(".json").exists()} == gone
