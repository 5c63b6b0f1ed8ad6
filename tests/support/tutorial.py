"""What is typed in a tutorial, in order."""

from collections.abc import Iterable

from tests.support.doc_blocks import Block, typed


def typed_lines(blocks: Iterable[Block]) -> list[str]:
    """Lines of the blocks of commands; a line is what ends with Enter, whatever it holds."""
    texts = (typed(block) for block in blocks if block.language in ("bash", "console"))
    return [line for text in texts for line in text.replace("\\\n", " ").splitlines() if line.strip()]
