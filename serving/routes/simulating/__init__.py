"""Simulations on request: small ones are answered at once, large ones are jobs.

`forms` has what is asked and answered, `inputs` finds the returns that a model is fitted to, `engine` computes, `jobs`
has the routes, `paths` walks some of a job's again, and `workers` work off the queue.
"""
