"""``python -m deploy.rollout``."""

import sys

from deploy.rollout.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
