"""The variables and the spec that an operator gives a pod of two nodes."""

ENVIRONMENT = {
    "DEEPSEEK_TRAINING_NAME": "demo",
    "DEEPSEEK_TRAINING_NAMESPACE": "team",
    "DEEPSEEK_TRAINING_UID": "uid",
    "DEEPSEEK_ATTEMPT": "3",
    "DEEPSEEK_JOB_UID": "job",
    "DEEPSEEK_POD_UID": "pod",
    "DEEPSEEK_NODES": "2",
    "DEEPSEEK_NODE_RANK": "1",
    "DEEPSEEK_PROCESSES_PER_NODE": "4",
    "MASTER_ADDR": "demo-0.demo-train",
    "MASTER_PORT": "29500",
    "DEEPSEEK_CHECKPOINT_ROOT": "/checkpoints/uid",
    "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "100",
    "DEEPSEEK_CHECKPOINT_KEEP_LAST": "2",
    "DEEPSEEK_RESUME_POLICY": "Auto",
    "DEEPSEEK_RESUME_ANCESTRY": '[{"attempt":1,"jobUID":"j1","incarnation":"i1"},{"attempt":2,"jobUID":"j2"}]',
    "DEEPSEEK_RESUME_FROM": '{"trainingUID":"other","checkpoint":"Best"}',
    "DEEPSEEK_STALL_TIMEOUT_SECONDS": "600",
    "DEEPSEEK_START_TIMEOUT_SECONDS": "900",
}
SPEC = {
    "model": {"custom": {"hidden_size": 64}},
    "objective": "SFT",
    "method": {"type": "Full"},
    "datasets": [{"source": {"path": "/datasets/0/a.jsonl"}, "split": "Train", "weight": "0.5"}],
    "hyperparameters": {"globalBatchSize": 8, "sequenceLength": 32, "learningRate": "3e-4", "maxSteps": 10},
}
