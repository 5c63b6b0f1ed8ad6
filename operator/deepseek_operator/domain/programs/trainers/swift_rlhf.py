"""ms-swift's ``rlhf``: what it learns beside SFT and texts, its arguments for that, and what it can't do without.

What rewards are, and how far from its beginning a model may go (``--beta``), are the user's arguments.
"""

from deepseek_operator.domain.programs.trainers.request import Objective, TrainerRequest
from deepseek_operator.domain.values.command import Refusal

TASKS = {
    Objective.SFT: ("sft",),
    Objective.PRETRAIN: ("pt",),
    Objective.DPO: ("rlhf", "--rlhf_type", "dpo"),
    Objective.GRPO: ("rlhf", "--rlhf_type", "grpo"),
    Objective.DISTILL: ("rlhf", "--rlhf_type", "gkd"),
}
ANSWERS = 8
"""How many answers GRPO gives to each prompt unless ``--num_generations`` says so (4.6.0)."""


def lengths(asked: TrainerRequest) -> tuple[str, ...]:
    """Its arguments for lengths in tokens. Where it answers, half of a sequence is for the answer unless one is said."""
    sequence = asked.hyper.sequence
    if not asked.objective.answers:
        return ("--max_length", str(sequence))
    answer = _answer(asked)
    # Of a distillation the answers in the data count as well as those that it writes.
    read = sequence - answer if asked.objective is Objective.GRPO else sequence
    told = () if _said(asked, "max_completion_length") else ("--max_completion_length", str(answer))
    return ("--max_length", str(read), *told)


def refusal(asked: TrainerRequest) -> Refusal | None:
    """Why what is asked can't be learnt; None where it can."""
    if not asked.objective.answers:
        return None
    if _answer(asked) >= asked.hyper.sequence:
        return Refusal(f"answers of {_answer(asked)} tokens leave no prompt of hyperparameters.sequenceLength {asked.hyper.sequence}",
                       "write a greater sequenceLength, or a smaller --max_completion_length in trainer.args")  # fmt: skip
    return _rewards(asked) if asked.objective is Objective.GRPO else _teacher(asked)


def _rewards(asked: TrainerRequest) -> Refusal | None:
    if not any(_said(asked, name) for name in ("reward_funcs", "reward_model")):
        return Refusal("GRPO learns from rewards, and none are named",
                       "write trainer.args: [--reward_funcs, accuracy], other functions of ms-swift, or --reward_model")  # fmt: skip
    answers = _number(asked, "num_generations", ANSWERS)
    if asked.hyper.global_batch % answers:
        more = -(-asked.hyper.global_batch // answers) * answers
        return Refusal(
            f"globalBatchSize {asked.hyper.global_batch} counts answers, of which each prompt gets {answers}",
            f"write globalBatchSize: {more}, or another --num_generations in trainer.args",
        )
    return None


def _teacher(asked: TrainerRequest) -> Refusal | None:
    if not _said(asked, "teacher_model_server"):
        # Its client posts to /infer/ (swift/rlhf_trainers/vllm_client.py of 4.6.0), which vLLM's own server does not have.
        return Refusal("a distillation needs a teacher, which is asked over HTTP",
                       "write trainer.args: [--teacher_model_server, http://<name of a DeepSeekServing>:8000, --gkd_logits_topk, \"20\"], "
                       "where the serving's engine is custom and runs `swift deploy --infer_backend vllm`")  # fmt: skip
    if not _said(asked, "gkd_logits_topk"):
        return Refusal("a teacher over HTTP tells of the likeliest tokens alone, and how many is not said",
                       'write trainer.args --gkd_logits_topk, "20" (vLLM tells of 20 unless its --max-logprobs says more)')  # fmt: skip
    return None


def _answer(asked: TrainerRequest) -> int:
    return _number(asked, "max_completion_length", asked.hyper.sequence // 2)


def _number(asked: TrainerRequest, name: str, usual: int) -> int:
    """A number that the user's arguments say; what is none is the trainer's own parser's to refuse."""
    said = _said(asked, name) or ""
    return int(said) if said.isdecimal() and int(said) else usual


def _said(asked: TrainerRequest, name: str) -> str | None:
    """What follows the flag in the user's own arguments; of several the last, as a parser takes it."""
    words, found = asked.extra_args, None
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag.lstrip("-").replace("-", "_") == name and flag.startswith("--"):
            found = value if equals else words[index + 1] if index + 1 < len(words) else None
    return found
