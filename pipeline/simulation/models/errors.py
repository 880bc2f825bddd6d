"""What the simulation core refuses."""


class SimulationInputError(ValueError):
    """Returns or parameters that cannot be simulated; the message names the cause and the remedy."""
