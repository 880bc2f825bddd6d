"""What all code locations share of Dagster."""

import warnings

import dagster as dg

# Backfill policies and partition mappings are marked beta; the dagster set is pinned, so they cannot
# change under us, and the warning would stand on every user's terminal.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
