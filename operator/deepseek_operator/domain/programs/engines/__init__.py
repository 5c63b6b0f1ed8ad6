"""Serving engines: from typed values to the exact command of one replica, or the reason why there is none."""
