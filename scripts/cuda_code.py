"""List the GPU architectures for which a compiled module holds code; exit code 1 if they differ from the expected.

python scripts/cuda_code.py simplepose/_native*.so 75-real 80-real 86-real 89-real 90

The names are CMake's: 75-real is machine code for sm_75, 90-virtual is PTX for compute_90, and 90 is both. The
script reads the file itself. If cuobjdump is on PATH or beside nvcc, its list must agree.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

CONTAINER = struct.Struct("<IHHQ")  # magic, version, header bytes, content bytes
ENTRY = struct.Struct("<HHIQIII")  # kind, version, header bytes, content bytes, three unused; then the architecture
MAGIC = 0xBA55ED50
PTX, ELF = 1, 2

Code = set[tuple[int, int]]
"""(kind, architecture) of each piece."""


def read_code(content: bytes) -> list[Code]:
    """The code of each container in a file. nvcc writes one container for each source file."""
    containers, start = [], content.find(struct.pack("<I", MAGIC))
    while start >= 0:
        _, _, header, size = CONTAINER.unpack_from(content, start)
        position, end = start + header, start + header + size
        code: Code = set()
        while position < end:
            kind, _, entry_header, entry_size, *_ = ENTRY.unpack_from(content, position)
            code.add((kind, struct.unpack_from("<I", content, position + ENTRY.size)[0]))
            position += entry_header + entry_size
        containers.append(code)
        start = content.find(struct.pack("<I", MAGIC), end)
    return containers


def names(code: Code) -> list[str]:
    """CMake's names for the code of a container, sorted by architecture."""
    suffixes = {(True, True): "", (True, False): "-real", (False, True): "-virtual"}
    architectures = sorted({architecture for _, architecture in code})
    return [f"{a}{suffixes[(ELF, a) in code, (PTX, a) in code]}" for a in architectures]


def listed_by_cuobjdump(file: Path) -> Code | None:
    """The code that cuobjdump lists; None if the tool is not installed."""
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    tool = shutil.which("cuobjdump") or shutil.which("cuobjdump", path=str(Path(nvcc).resolve().parent))
    if tool is None:
        return None
    code: Code = set()
    for kind, option in ((ELF, "--list-elf"), (PTX, "--list-ptx")):
        text = subprocess.run([tool, option, file], capture_output=True, text=True, check=False).stdout
        code |= {(kind, int(architecture)) for architecture in re.findall(r"\.sm_(\d+)", text)}
    return code


def main() -> int:
    """Compare the code of a file with the expected names; return the exit code."""
    file, expected = Path(sys.argv[1]), sys.argv[2:]
    containers = [code for code in read_code(file.read_bytes()) if code]
    if not containers:
        print(f"{file}: no CUDA code")
        return 1
    listed = listed_by_cuobjdump(file)
    for code in containers:
        architectures = names(code)
        print(f"{file.name}: {' '.join(architectures)}")
        if expected and architectures != expected:
            print(f"expected {' '.join(expected)}")
            return 1
    if listed is not None and names(listed) != names(set().union(*containers)):
        print(f"cuobjdump lists {' '.join(names(listed))}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
