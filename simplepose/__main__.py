"""``python -m simplepose``: the command simplepose, as torchrun starts it (``torchrun -m simplepose train``)."""

import sys

from simplepose.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
