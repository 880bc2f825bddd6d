"""`python -m fintech` is the console script, for child processes."""

from fintech.cli import main

main()
