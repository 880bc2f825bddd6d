"""Risk slice: what instruments and portfolios can lose, measured on stored prices."""
