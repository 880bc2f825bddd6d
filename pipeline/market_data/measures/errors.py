"""What a measure says about input that it cannot use."""


class ActionInputError(ValueError):
    """A split or dividend that cannot have happened; the message names the instrument's position and the date."""
