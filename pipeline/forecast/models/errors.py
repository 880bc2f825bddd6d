"""What a forecast says about input that it cannot use."""


class ForecastInputError(ValueError):
    """Input that no forecast can be made from; the message names the field and the remedy."""
