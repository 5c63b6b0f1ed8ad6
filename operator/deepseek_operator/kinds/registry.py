"""The one list of kinds. Whatever enumerates kinds, or what they own, takes it from here.

A further kind is a folder like its neighbours, with its entry, and a line here.
"""

from deepseek_operator.core.kinds import Kinds
from deepseek_operator.kinds.serving.entry import ENTRY as SERVING
from deepseek_operator.kinds.training.entry import ENTRY as TRAINING

KINDS = Kinds((TRAINING, SERVING))
