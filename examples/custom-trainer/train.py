"""Fits a sine with plain torch and survives being killed: all that a trainer must do to be run by the operator.

Under mpirun its processes share each batch, and the first one keeps the contract."""
# ruff: noqa: E401, I001
# fmt: off

import hashlib, io, json, os, pathlib, shutil, signal, sys, time

import torch
import torch.distributed as gang

env, steps, stops = os.environ, int(os.environ.get("STEPS", "2000")), []
rank, world = (int(env.get(f"OMPI_COMM_WORLD_{name}", usual)) for name, usual in (("RANK", 0), ("SIZE", 1)))
if world > 1:  # beside each other in one pod
    gang.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{env['MASTER_PORT']}", rank=rank, world_size=world)

def summed(tensor):  # over all processes
    if world > 1:
        gang.all_reduce(tensor)
    return tensor

signal.signal(signal.SIGTERM, lambda *_: stops.append(True))
root, mine = pathlib.Path(env["DEEPSEEK_CHECKPOINT_ROOT"]), env["DEEPSEEK_POD_UID"]
identity = {"attempt": int(env["DEEPSEEK_ATTEMPT"]), "jobUID": env["DEEPSEEK_JOB_UID"], "incarnation": mine}

def publish(path, value):  # a file is there whole, or not at all
    path.with_suffix(".new").write_text(json.dumps({"formatVersion": 1, **value}))
    path.with_suffix(".new").rename(path)

def save(step, loss, parent):  # the manifest comes last and makes the directory a checkpoint
    torch.save({"step": step, "model": model.state_dict(), "adam": adam.state_dict()}, buffer := io.BytesIO())
    directory, digest = root / mine / f"step-{step:08d}", hashlib.sha256(buffer.getvalue()).hexdigest()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "state.pt").write_bytes(buffer.getvalue())
    publish(directory / "manifest.json", {"kind": "Checkpoint", "trainingUID": env["DEEPSEEK_TRAINING_UID"], **identity,
        "step": step, "worldSize": world, "layout": {"sharding": "none"}, "parent": parent, "metrics": {"loss": loss},
        "files": [{"path": "state.pt", "size": buffer.tell(), "sha256": digest}], "healthy": loss == loss,
        "createdAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
    for old in sorted(root.joinpath(mine).glob("step-*"))[: -int(env.get("DEEPSEEK_CHECKPOINT_KEEP_LAST", "2"))]:
        shutil.rmtree(old)

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
adam, step, origin, loss, stop = torch.optim.Adam(model.parameters(), lr=0.01), 0, None, torch.tensor(1.0), False
for ancestor in reversed(json.loads(env.get("DEEPSEEK_RESUME_ANCESTRY") or "[]")):  # the newest recorded attempt first
    found = [json.loads(m.read_text()) for m in sorted(root.glob(f"{ancestor.get('incarnation', '*')}/step-*/manifest.json"))]
    healthy = [m for m in found if m["healthy"] and m["jobUID"] == ancestor["jobUID"]]
    if healthy and env.get("DEEPSEEK_RESUME_POLICY") != "Never":
        origin = {"incarnation": healthy[-1]["incarnation"], "step": healthy[-1]["step"]}
        state = torch.load(root / origin["incarnation"] / f"step-{origin['step']:08d}" / "state.pt", weights_only=True)
        model.load_state_dict(state["model"]), adam.load_state_dict(state["adam"])
        step = state["step"]
        break
(root / mine).mkdir(parents=True, exist_ok=True)
if rank == 0:
    publish(root / mine / "origin.json", {**identity, "resumedFrom": origin})
while step < steps:
    x = torch.rand(64, 1, generator=torch.Generator().manual_seed(step)) * 6 - 3  # the data are a function of the step
    adam.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x[rank::world]), torch.sin(x[rank::world])) / world
    loss.backward(), [summed(one.grad) for one in model.parameters()], adam.step()
    step, loss, stop = step + 1, summed(loss.detach()), summed(torch.tensor(len(stops))) > 0  # one of them was told
    if rank == 0:
        print(json.dumps({"step": step, "loss": loss.item()}), flush=True)
        if stop or step == steps or step % int(env.get("DEEPSEEK_CHECKPOINT_EVERY_STEPS") or "100") == 0:
            save(step, loss.item(), origin)
    if stop:
        break
if world > 1:
    gang.destroy_process_group()
learnt = loss.item() < 0.01
if not (stop or learnt):
    print(f"the sine was not learnt: loss {loss.item():.4f}", file=sys.stderr)
sys.stdout.flush()
os._exit(75 if stop else int(not learnt))  # 75: saved, restart me. At once: the gang's threads may abort a slower end
