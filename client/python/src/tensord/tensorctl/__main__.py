"""``python -m tensord.tensorctl``."""

import sys

from tensord.tensorctl import main

if __name__ == "__main__":
    sys.exit(main())
