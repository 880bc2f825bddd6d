"""What a measure says about input that it cannot use."""


class MeasureInputError(ValueError):
    """Input that no number can be computed from; the message names the field and the remedy."""
