"""`python -m livetoken`."""

import sys

from livetoken.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
