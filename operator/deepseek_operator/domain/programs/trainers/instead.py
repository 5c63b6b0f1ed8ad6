"""What to write instead of a flag by which a trainer would overrule the operator: the words that trainers share."""

from deepseek_operator.domain.programs.arguments import Flags, Owned

MODEL = "write model.source or model.fromTraining"
DATA = "write datasets"
LOSS = "write lossOn"
METHOD = "write method"
OBJECTIVE = "write objective"
BATCH = "write hyperparameters.globalBatchSize and microBatchSize"
LENGTH = "write hyperparameters.sequenceLength"
RATE = "write hyperparameters.learningRate, schedule and warmupSteps"
REGULAR = "write hyperparameters.weightDecay and gradientClipNorm"
STEPS = "write hyperparameters.maxSteps or epochs"
PRECISION = "write hyperparameters.precision"
SEED = "write hyperparameters.seed"
EVALUATION = "write hyperparameters.evalEverySteps"
SAVING = "write checkpoints.everySteps and keepLast"
KEEPING = "leave it out: every save is kept by checkpoints.keepLast and keepBest, and the gang saves when it is stopped"
HEARD = "leave it out: every step is logged, and is the gang's sign of life"
FOLDER = "leave it out: checkpoints lie where the next attempt looks for them"
LAYOUT = "leave it out: ranks, recomputation and offloading follow from accelerator, nodes and what fits"

NOTHING = Flags(owned=(Owned(("*",), "leave it out: all settings of this trainer come from the spec"),))
"""Of a trainer that reads no arguments: what it would be given would do nothing."""
