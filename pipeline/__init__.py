"""The pipeline: a functional core (measures, models, rules) and its Dagster shell."""
