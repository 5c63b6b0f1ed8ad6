"""Other trainers' folders become checkpoints: when they are whole, in one piece, and in a way that the trainer finds again."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.volume import Superseded, Volume
from deepseek_runtime.contract import Ancestor, Contract, Invalid, read_contract
from deepseek_runtime.foreign.following import Follower
from deepseek_runtime.foreign.layouts import LAYOUTS, Layout
from deepseek_runtime.foreign.placing import Placed, await_placed, output_of, place
from tests.support.contract import ENVIRONMENT
from tests.support.foreign_folders import WRITERS, archive, hugging_face, safetensors, trainer_state

EVERY = sorted(LAYOUTS)
HUGGING_FACE = ["llama-factory", "ms-swift"]


def contract(root: Path, attempt: int = 1, ancestry: tuple[str, ...] = (), **changes: object) -> Contract:
    """Attempt number `attempt`, alone on one node with two ranks, after those that `ancestry` names."""
    read = read_contract({**ENVIRONMENT, "DEEPSEEK_CHECKPOINT_ROOT": str(root), "DEEPSEEK_RESUME_FROM": ""})
    return replace(
        read,
        attempt=attempt,
        job_uid=f"job-{attempt}",
        pod_uid=f"pod-{attempt}",
        gang=replace(read.gang, nodes=1, node_rank=0, processes_per_node=2),
        ancestry=tuple(Ancestor(n + 1, f"job-{n + 1}", name) for n, name in enumerate(ancestry)),
        **changes,  # type: ignore[arg-type]
    )


def begun(asked: Contract, layout: Layout) -> Follower:
    """An attempt as its trainer finds it."""
    volume = Volume(asked.checkpoints.root)
    volume.claim(asked.pod_uid, asked.attempt)
    follower = Follower(asked, layout, volume, Placed(output_of(volume, asked.pod_uid)))
    placed = place(asked, layout, volume, follower.adopt)
    if not follower.own:
        follower.placed = placed
    return follower


def looked_twice(follower: Follower) -> Manifest | None:
    follower.look()
    return follower.look()


@pytest.fixture(params=EVERY)
def layout(request: pytest.FixtureRequest) -> Layout:
    return LAYOUTS[request.param]


def test_there_is_a_folder_of_every_adapter() -> None:
    assert sorted(WRITERS) == EVERY


def test_a_whole_folder_becomes_a_checkpoint_at_the_second_quiet_look(tmp_path: Path, layout: Layout) -> None:
    follower = begun(contract(tmp_path), layout)
    WRITERS[layout.name](follower.placed.output, 20, 2)
    assert follower.look() is None
    made = follower.look()
    assert made is not None
    assert (made.step, made.world_size, made.healthy, made.parent) == (20, 2, True, None)
    assert follower.volume.problem_of(made, made.files) is None
    assert follower.look() is None, "no step is taken twice"


def test_what_is_still_written_to_is_not_taken(tmp_path: Path, layout: Layout) -> None:
    follower = begun(contract(tmp_path), layout)
    folder = WRITERS[layout.name](follower.placed.output, 20, 2)
    for size in range(1, 4):
        (folder / "more").write_bytes(bytes(size))
        assert follower.look() is None
    assert follower.look() is not None


def test_without_any_one_of_its_files_it_is_torn(tmp_path: Path, layout: Layout) -> None:
    """But what describes the model alone, without which a trainer goes on as well."""
    spared = ("config.json", "args.json", "run_config.yaml")
    names = [
        p.relative_to(f) for f in [WRITERS[layout.name](tmp_path / "all", 20, 2)] for p in f.rglob("*") if p.is_file()
    ]
    for index, name in enumerate(name for name in names if name.name not in spared):
        follower = begun(contract(tmp_path / str(index)), layout)
        folder = WRITERS[layout.name](follower.placed.output, 20, 2)
        (folder / name).unlink()
        assert looked_twice(follower) is None, name


def test_with_any_one_of_its_files_cut_off_it_is_torn(tmp_path: Path, layout: Layout) -> None:
    """Files with weights that only their own description could judge are told by their size: none."""
    spared = ("config.json", "args.json", "run_config.yaml")
    names = [
        p.relative_to(f) for f in [WRITERS[layout.name](tmp_path / "all", 20, 2)] for p in f.rglob("*") if p.is_file()
    ]
    for index, name in enumerate(name for name in names if name.name not in spared):
        follower = begun(contract(tmp_path / str(index)), layout)
        cut = WRITERS[layout.name](follower.placed.output, 20, 2) / name
        os.truncate(cut, 0 if cut.suffix == ".distcp" else cut.stat().st_size // 2)
        if cut.name in ("latest", "latest_checkpointed_iteration.txt"):
            os.truncate(cut, 0)
        assert looked_twice(follower) is None, name


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_a_save_after_sigterm_that_did_not_end_is_torn(tmp_path: Path, name: str) -> None:
    follower = begun(contract(tmp_path), LAYOUTS[name])
    folder = WRITERS[name](follower.placed.output, 20, 2)
    (folder / "checkpoint-is-incomplete.txt").touch()
    assert looked_twice(follower) is None


def test_a_rank_that_has_not_written_its_random_state_is_waited_for(tmp_path: Path) -> None:
    """trainer_state.json comes from rank 0, which waits for nobody."""
    follower = begun(contract(tmp_path), LAYOUTS["llama-factory"])
    folder = hugging_face(follower.placed.output, 20, ranks=2, deepspeed=True)
    (folder / "rng_state_1.pth").unlink()
    assert looked_twice(follower) is None
    (folder / "rng_state_1.pth").write_bytes(archive())
    assert looked_twice(follower) is not None


@pytest.mark.parametrize("name", ["megatron-bridge", "ms-swift-megatron", "deepspeed"])
def test_before_the_trainer_says_that_it_has_saved_it_is_not_taken(tmp_path: Path, name: str) -> None:
    """An asynchronous save has all its files before it is done."""
    follower = begun(contract(tmp_path), LAYOUTS[name])
    output = follower.placed.output
    WRITERS[name](output, 20, 2)
    for pointer in ("latest", "last", "latest_checkpointed_iteration.txt"):
        (output / pointer).unlink(missing_ok=True)
    assert looked_twice(follower) is None


def test_a_link_in_a_folder_is_never_followed(tmp_path: Path, layout: Layout) -> None:
    follower = begun(contract(tmp_path), layout)
    folder = WRITERS[layout.name](follower.placed.output, 20, 2)
    (folder / "secret").symlink_to("/etc/hostname")
    assert looked_twice(follower) is None


def test_a_model_that_is_not_finite_is_kept_and_never_gone_on_from(tmp_path: Path) -> None:
    follower = begun(contract(tmp_path), LAYOUTS["llama-factory"])
    hugging_face(follower.placed.output, 20, ranks=2)
    looked_twice(follower)
    hugging_face(follower.placed.output, 30, ranks=2, loss=float("nan"))
    made = looked_twice(follower)
    assert made is not None
    assert not made.healthy
    assert begun(contract(tmp_path, 2, ("pod-1",)), LAYOUTS["llama-factory"]).step == 20


def test_the_next_attempt_finds_the_step_under_the_trainers_own_name(tmp_path: Path, layout: Layout) -> None:
    first = begun(contract(tmp_path), layout)
    WRITERS[layout.name](first.placed.output, 20, 2)
    looked_twice(first)
    second = begun(contract(tmp_path, 2, ("pod-1",)), layout)
    ((step, folder),) = layout.steps(second.placed.output)
    assert (step, layout.why_torn(folder, step, 2)) == (20, None)
    assert layout.why_unannounced(second.placed.output, step) is None, "as it would have been left by the trainer"
    assert not (folder / "manifest.json").exists()
    origin = json.loads((tmp_path / "pod-2" / "origin.json").read_text())
    assert origin["resumedFrom"] == {"incarnation": "pod-1", "step": 20}
    assert looked_twice(second) is None, "what was gone on from is no new checkpoint"


def test_what_the_last_attempt_had_finished_is_taken_though_it_died_before_the_manifest(
    tmp_path: Path, layout: Layout
) -> None:
    first = begun(contract(tmp_path), layout)
    WRITERS[layout.name](first.placed.output, 20, 2)
    looked_twice(first)
    WRITERS[layout.name](first.placed.output, 30, 2)  # nobody has looked yet
    second = begun(contract(tmp_path, 2, ("pod-1",)), layout)
    assert second.step == 30
    assert [m.step for m in second.volume.checkpoints_of("pod-2")] == [30]
    assert [step for step, _ in layout.steps(second.placed.output)] == [30]
    third = begun(contract(tmp_path, 3, ("pod-1", "pod-2")), layout)
    assert third.step == 30


def test_torn_folders_of_earlier_attempts_stop_no_start_and_are_seen_by_no_trainer(
    tmp_path: Path, layout: Layout
) -> None:
    first = begun(contract(tmp_path), layout)
    WRITERS[layout.name](first.placed.output, 20, 2)
    looked_twice(first)
    torn = WRITERS[layout.name](first.placed.output, 30, 2)
    for file in torn.rglob("*.pt"):
        os.truncate(file, 10)
    for file in [*torn.rglob("*.distcp"), *torn.rglob("*.pth")]:
        os.truncate(file, 0)
    second = begun(contract(tmp_path, 2, ("pod-1",)), layout)
    assert second.step == 20
    assert [step for step, _ in layout.steps(second.placed.output)] == [20]
    assert not first.placed.output.exists(), "an earlier attempt's folder takes room for nothing"


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, layout: Layout) -> None:
    first = begun(contract(tmp_path), layout)
    for step in (20, 30):
        WRITERS[layout.name](first.placed.output, step, 2)
        looked_twice(first)
    made = first.own[-1]
    damaged = first.volume.step_directory("pod-1", 30) / max(made.files, key=lambda file: file.size).path
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    second = begun(contract(tmp_path, 2, ("pod-1",)), layout)
    assert second.step in (20, 30)
    assert [m.step for m in second.placed.ancestors][:1] == [20]


def test_when_no_checkpoint_is_whole_it_never_begins_again_in_silence(tmp_path: Path, layout: Layout) -> None:
    first = begun(contract(tmp_path), layout)
    WRITERS[layout.name](first.placed.output, 20, 2)
    looked_twice(first)
    for file in first.volume.step_directory("pod-1", 20).rglob("*"):
        if file.is_file() and file.name != "manifest.json":
            os.truncate(file, 0)
    with pytest.raises(Damaged, match="none of 1 checkpoints is whole"):
        begun(contract(tmp_path, 2, ("pod-1",)), layout)


def test_never_resuming_begins_with_an_empty_folder(tmp_path: Path, layout: Layout) -> None:
    first = begun(contract(tmp_path), layout)
    WRITERS[layout.name](first.placed.output, 20, 2)
    looked_twice(first)
    second = begun(contract(tmp_path, 2, ("pod-1",), resume="Never"), layout)
    assert (second.step, layout.steps(second.placed.output)) == (0, [])


def test_another_trainers_checkpoint_is_no_start(tmp_path: Path) -> None:
    first = begun(contract(tmp_path), LAYOUTS["llama-factory"])
    hugging_face(first.placed.output, 20, ranks=2)
    looked_twice(first)
    with pytest.raises(Damaged, match="no checkpoint of torchtitan"):
        begun(contract(tmp_path, 2, ("pod-1",)), LAYOUTS["torchtitan"])


@pytest.mark.parametrize(
    ("name", "is_refused"), [("deepspeed", True), ("torchtitan", False), ("megatron-bridge", False)]
)
def test_another_number_of_ranks_is_refused_where_the_trainer_cant_put_the_parts_together(
    tmp_path: Path, name: str, is_refused: bool
) -> None:
    first = begun(contract(tmp_path), LAYOUTS[name])
    WRITERS[name](first.placed.output, 20, 2)
    looked_twice(first)
    wider = contract(tmp_path, 2, ("pod-1",))
    wider = replace(wider, gang=replace(wider.gang, processes_per_node=4))
    if is_refused:
        with pytest.raises(Invalid, match=r"accelerator\.perNode = 2"):
            begun(wider, LAYOUTS[name])
    else:
        assert begun(wider, LAYOUTS[name]).step == 20


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_a_step_that_is_saved_again_into_its_own_files_leaves_the_checkpoint_as_it_was(
    tmp_path: Path, name: str
) -> None:
    """After a SIGTERM transformers saves the step that it has just saved at its interval, over the same files."""
    follower = begun(contract(tmp_path), LAYOUTS[name])
    WRITERS[name](follower.placed.output, 20, 2)
    made = looked_twice(follower)
    assert made is not None
    folder = WRITERS[name](follower.placed.output, 20, 2)
    (folder / "scheduler.pt").write_bytes(b"half of another")
    assert follower.volume.problem_of(made, made.files) is None


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_one_that_died_while_a_step_was_taken_has_lost_nothing(tmp_path: Path, name: str) -> None:
    """Between taking the framework's name away and the manifest."""
    first = begun(contract(tmp_path), LAYOUTS[name])
    folder = WRITERS[name](first.placed.output, 20, 2)
    folder.rename(folder.with_name(f"_taken-{folder.name}"))
    assert begun(contract(tmp_path, 2, ("pod-1",)), LAYOUTS[name]).step == 20


def test_a_rotation_while_files_are_hashed_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from deepseek_runtime.foreign import following

    follower = begun(contract(tmp_path), LAYOUTS["torchtitan"])
    folder = WRITERS["torchtitan"](follower.placed.output, 20, 2)
    hashed = following._hashed

    def rotated(torn: Path) -> object:
        shutil.rmtree(folder, ignore_errors=True)
        return hashed(torn)

    monkeypatch.setattr(following, "_hashed", rotated)
    made = looked_twice(follower)
    assert made is not None
    assert follower.volume.problem_of(made, made.files) is None


@pytest.mark.parametrize("is_listed", [False, True], ids=["before they are listed", "after"])
def test_a_rotation_while_files_get_second_names_ends_nothing(
    tmp_path: Path, layout: Layout, is_listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen of LLaMA-Factory on a busy cluster: trainer_state.json went first, and the attempt ended with exit code 1."""
    from deepseek_runtime.foreign import following, placing

    follower = begun(contract(tmp_path), layout)
    output = follower.placed.output
    WRITERS[layout.name](output, 20, 2)
    assert looked_twice(follower) is not None
    listed, linked = placing.link_tree, placing.link_file
    folder = WRITERS[layout.name](output, 40, 2)
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    for lost in files:
        folder = WRITERS[layout.name](output, 40, 2)
        follower.look()

        def rotated(source: Path, target: Path, lost: Path = folder / lost) -> None:
            lost.unlink()
            listed(source, target)

        def gone(source: Path, target: Path, lost: Path = folder / lost) -> None:
            if source == lost:
                source.unlink()
            linked(source, target)

        with monkeypatch.context() as patch:
            if is_listed:
                patch.setattr(placing, "link_file", gone)
            else:
                patch.setattr(following, "link_tree", rotated)
            made = follower.look()
        if made is not None:
            # A file that its layout can do without; the checkpoint is what was there.
            assert follower.volume.problem_of(made, made.files) is None
            return
    WRITERS[layout.name](output, 60, 2)
    made = looked_twice(follower)
    assert made is not None
    assert made.step == 60


def test_one_that_is_written_to_while_it_is_hashed_is_looked_at_again(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepseek_runtime.foreign import following

    follower = begun(contract(tmp_path), layout)
    folder = WRITERS[layout.name](follower.placed.output, 20, 2)
    hashed = following._hashed

    def written_to(torn: Path) -> object:
        found = hashed(torn)
        (folder / "late.safetensors").write_bytes(safetensors())
        return found

    monkeypatch.setattr(following, "_hashed", written_to)
    assert looked_twice(follower) is None
    monkeypatch.undo()
    made = looked_twice(follower)
    assert made is not None
    assert "late.safetensors" in {file.path for file in made.files}


@pytest.mark.parametrize("moment", ["link_tree", "_hashed", "sync_files", "commit"])
def test_a_death_at_any_moment_of_a_commit_leaves_a_checkpoint_or_none(
    tmp_path: Path, layout: Layout, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepseek_runtime.foreign import following

    class Killed(BaseException):
        """SIGKILL: nothing after it runs."""

    def killed(*_: object) -> object:
        raise Killed

    first = begun(contract(tmp_path), layout)
    for step in (10, 20):
        if step == 20:
            monkeypatch.setattr(following, moment, killed)
        WRITERS[layout.name](first.placed.output, step, 2)
        first.look()
        if step == 20:
            with pytest.raises(Killed):
                first.look()
        else:
            first.look()
    monkeypatch.undo()
    asked = contract(tmp_path, 2, ("pod-1",))
    second = begun(asked, layout)
    assert second.step == 20, "it lies whole in the trainer's folder"
    made = second.own[-1]
    assert second.volume.problem_of(made, made.files) is None


def test_retention_is_ours(tmp_path: Path, layout: Layout) -> None:
    follower = begun(contract(tmp_path), layout)
    for step in (10, 20, 30, 40):
        WRITERS[layout.name](follower.placed.output, step, 2)
        assert looked_twice(follower) is not None
    assert [m.step for m in follower.volume.checkpoints_of("pod-1")] == [30, 40]


def test_the_best_is_kept_by_what_the_trainer_measured(tmp_path: Path) -> None:
    follower = begun(contract(tmp_path), LAYOUTS["llama-factory"])
    for step, loss in ((10, 0.5), (20, 0.9), (30, 0.8), (40, 0.7)):
        hugging_face(follower.placed.output, step, ranks=2, eval_loss=loss)
        assert looked_twice(follower) is not None
    assert [m.step for m in follower.volume.checkpoints_of("pod-1")] == [10, 30, 40]


def test_whoever_was_replaced_takes_nothing_more(tmp_path: Path, layout: Layout) -> None:
    follower = begun(contract(tmp_path), layout)
    WRITERS[layout.name](follower.placed.output, 20, 2)
    follower.look()
    follower.volume.claim("pod-9", 9)
    with pytest.raises(Superseded):
        follower.look()


def test_other_nodes_wait_until_rank_0_has_prepared_the_folder(tmp_path: Path) -> None:
    asked = contract(tmp_path)
    volume = Volume(tmp_path)
    assert await_placed(asked, volume, 10, is_stopped=lambda: True) is None
    with pytest.raises(OSError, match="rank 0 has not prepared"):
        await_placed(asked, volume, 0, is_stopped=lambda: False)
    follower = begun(asked, LAYOUTS["llama-factory"])
    assert await_placed(asked, volume, 10, is_stopped=lambda: False) == follower.placed.output


def test_a_step_that_is_another_ones_is_torn(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path, 20)
    (folder / "trainer_state.json").write_bytes(trainer_state(19))
    assert "of step 19" in str(LAYOUTS["llama-factory"].why_torn(folder, 20, 1))
