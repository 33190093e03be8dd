"""Samples per second of one data worker, and a profile of its time.

The time is the processor time of one thread with the files in the page cache, as for a worker with its own core.

python -m benchmarks.bench_data DATA --sizes 384 512
"""

from __future__ import annotations

import argparse
import cProfile
import platform
import pstats
import statistics
import time

import cv2

from simplepose.data.augment import AugmentConfig
from simplepose.data.dataset import COCODataset, collate
from simplepose.data.images import read_image


def samples_a_second(dataset: COCODataset, repeats: int) -> tuple[float, float]:
    """Medians over passes: samples per second, and images per second of reading and decoding their files alone."""
    rates, decoding = [], []
    for epoch in range(repeats):
        dataset.set_epoch(epoch)
        start = time.process_time()
        collate([dataset[i] for i in range(len(dataset))])
        rates.append(len(dataset) / (time.process_time() - start))
        start = time.process_time()
        for record, _ in dataset.samples:
            read_image(dataset.records[record].path)
        decoding.append(len(dataset) / (time.process_time() - start))
    return statistics.median(rates), statistics.median(decoding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="annotation file or folder")
    parser.add_argument("--sizes", type=int, nargs="+", default=[384, 512])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="also print the functions that take most of the time")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"opencv {cv2.__version__}, {platform.machine()}, one thread")
    for size in args.sizes:
        for name, cache in (("files", 0), ("cached", 2**31)):
            dataset = COCODataset(args.data, size=size, augment=AugmentConfig(), cache_bytes=cache)
            collate([dataset[i] for i in range(len(dataset))])
            rate, decoding = samples_a_second(dataset, args.repeats)
            print(
                f"{size} px, {name}: {rate:.0f} samples/s ({len(dataset)} of {len(dataset.records)} images); "
                f"decoding alone {decoding:.0f}/s"
            )
            if args.profile:
                with cProfile.Profile() as profile:
                    samples_a_second(dataset, 2)
                pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
