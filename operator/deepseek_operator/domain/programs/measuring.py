"""What runs in a container of its own beside the trainer: a loop for /bin/sh that runs a program whenever it is asked to.

The trainer's side, and what the files of the folder say, is `deepseek_runtime.trainer.own_beside`.
"""

LOOP = """\
trap 'exit 0' TERM
cd "$DEEPSEEK_EVALUATION" || exit 1
while [ "$DEEPSEEK_NODE_RANK" != 0 ]; do sleep 60 & wait $!; done
over() {
  if [ -e "$1.stop" ]; then rm -f "$1.said" "$1.stop" taken
  else echo "$2" > "$1.part" && rm -f taken && mv "$1.part" "$1.over"; fi
}
if [ -e taken ]; then read -r number < taken; over "$number" 137; fi
while :; do
  if mv asked taken 2> /dev/null; then
    { read -r number; read -r DEEPSEEK_STEP; read -r DEEPSEEK_MODEL; read -r DEEPSEEK_HELDOUT; } < taken
    export DEEPSEEK_STEP DEEPSEEK_MODEL DEEPSEEK_HELDOUT
    (cd /tmp && exec "$@") > "$number.said" < /dev/null & program=$!
    (while [ ! -e "$number.stop" ]; do sleep 1; done; kill -KILL "$program") & watch=$!
    wait "$program"; code=$?
    kill -KILL "$watch"; wait "$watch"
    tail -c 4096 "$number.said"
    echo "step $DEEPSEEK_STEP: exit code $code"
    over "$number" "$code"
  else
    sleep 1 & wait $!
  fi
done
"""
"""Runs its arguments whenever `asked` is there. A shell that waits for a program hears no signal until it has ended, and one
that waits by `wait` does: the pod would otherwise end only when its grace is over. A `taken` at the start is of a container
that died, with its program: 137 as for any that was killed. The watch is ended by KILL: dash loses a TERM that reaches a
subshell before it has dropped the trap."""
