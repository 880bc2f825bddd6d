"""`python -m fintech` is the console script, for child processes."""

from fintech.entry import main

main()
