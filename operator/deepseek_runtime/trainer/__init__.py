"""The built-in trainer: transformers' model classes under FSDP2, checkpoints through torch.distributed.checkpoint."""
