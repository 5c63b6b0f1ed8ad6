"""The main job, as a person would run it: train, lose a worker, resume, serve, scale out and back.

`python -m tests.main_job` (examples/run) tells it in a terminal and leaves pictures in `out/main-job/`; the end-to-end
test runs the same steps and asks the questions.
"""
