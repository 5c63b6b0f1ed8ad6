"""Starts an engine, whichever it is, and restarts its container once it has work and makes no tokens.

    judging.py     when an engine stands still, from what it tells of itself
    telling.py     what it tells: work and tokens, off its page of metrics
    ending.py      how all that it started comes to an end, with the stacks of what runs Python

It needs nothing but Python, so that it runs in the image of the engine.
"""

from deepseek_runtime.stopping import hold_while_starting

hold_while_starting()
