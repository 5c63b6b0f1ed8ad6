"""Finds how many requests at a time one replica answers within an objective: what a target for its autoscaling is made of.

`settings` is what it is told, `search` which load is tried next, `verdict` what a load's requests came to, `asking` one
request and its times, `load` so many streams of them, `course` the way from the first load to the result, `others` whether
somebody else asks the same replica.
"""
