"""An engine of the user's own: image and command are theirs, and nothing is known of it but what they write."""

from deepseek_operator.domain.programs.engines import vllm
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.request import AdapterKind
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.overheads import OF_OTHERS

ENTRY = EngineEntry(
    type="custom",
    title="your own",
    version="",
    start=Start.WRITTEN,
    memory=OF_OTHERS,
    metrics=lambda version: vllm.NAMES,  # one that publishes these names is scaled by them
    build=None,
    adapters=frozenset(AdapterKind),
    takes_key=True,
    is_offered=True,
)
