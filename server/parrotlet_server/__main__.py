"""`python -m parrotlet_server` is `parrotlet`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
