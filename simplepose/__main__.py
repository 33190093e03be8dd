"""``python -m simplepose``: the command simplepose, as torchrun starts it (``torchrun -m simplepose train``)."""

import os
import sys

from simplepose.cli.main import main


def leave(code: int) -> None:
    """End the process with an exit code.

    A process of a distributed run ends without finalizing the interpreter. PyTorch keeps the threads of a process
    group alive as long as a `DistributedDataParallel` network once existed, and such a thread can abort the process
    while the interpreter finalizes.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
