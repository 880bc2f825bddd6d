"""What every request passes before its route: who it comes from, how much it may ask, and what it may send."""
