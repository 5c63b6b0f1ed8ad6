"""Trainers that know nothing of the checkpoint contract, kept under it from outside.

LLaMA-Factory, ms-swift, torchtitan, Megatron-Bridge and DeepSpeed save in folders of their own. Beside the launcher, in
the image of the trainer, this package makes checkpoints of them; it needs nothing but Python.

    layouts.py     what each of them writes: which folder is which step, when it is whole, how it is gone on from
    placing.py     before the start: the newest verified checkpoint, put where the trainer looks
    following.py   meanwhile: what is whole gets its manifest
    telling.py     meanwhile: steps and losses from the trainer's own log, and with them its heartbeat
    ending.py      afterwards: what an exit code means that the trainer gave without knowing what it says
    exporting.py   afterwards: the finished model for engines
    tokenizer.py   before the start: whether its transformers reads the model's tokenizer as it was made
    installing.py  in the pod's first container: copies all of this, and writes the trainer's files
"""
