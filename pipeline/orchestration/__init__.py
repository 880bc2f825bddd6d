"""What all code locations share of Dagster."""
