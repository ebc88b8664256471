"""`python -m service`: the same as the console script."""

import sys

from service.console.cli import main

if __name__ == "__main__":
    sys.exit(main())
