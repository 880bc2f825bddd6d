"""What strategies refuse."""


class StrategyInputError(ValueError):
    """Returns, prices or weights that no strategy can use; the message names the cause and the remedy."""
