"""The built-in trainer: transformers' model classes under FSDP2, checkpoints through torch.distributed.checkpoint.

`preparing` puts the parts together once, `loop` makes the steps. What a training may be asked to do otherwise has one
place each, beside the field in `deepseek_runtime.spec`:

    objective.py    what the loss of a batch is
    balancing.py    what pre-training moves beside it: which experts are chosen
    method.py       which parameters are trained, what of the model is saved and exported
    data/           source.py: where records come from; rendering.py: how they become tokens; order.py: when they are seen
    export.py       the form of what is handed on to engines
"""
