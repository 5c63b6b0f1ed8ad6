"""Fetches a model or data from where it is published to a claim: once for a revision, whoever asks, verified before it is there.

`settings` is what it is told, `hub` and `bucket` what lies at a source and what is promised of each file, `wanted` which of
them are fetched, `web` a stream of one file from some byte on, `store` the claim's folders, locks and room, `download` the
way from the one to the other.
"""
