"""One pass over all files before the first epoch: which rows are kept. Knows no epochs and no tensors.

Whether a row is a duplicate depends on all files, so it is settled once: an epoch then only looks up a bit a row.
Faults of a file show here, before any training. Memory: 8 bytes a pair while it runs (24 while duplicates are
sought), 1 bit a row afterwards.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cleaning import REASONS, CleaningRules
from .corpus_file import CorpusFile
from .formats import read_pairs
from .report import CorpusReport, FileReport

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Which of the `rows` of a file are kept: `bits` holds eight rows a byte, `count` are set."""

    rows: int
    count: int
    bits: Bits


@dataclass(frozen=True, slots=True)
class Survey:
    """What every epoch needs to know; `fingerprint` changes with any kept pair or its place."""

    report: CorpusReport
    kept: tuple[KeptRows, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _FileScan:
    """Rows without a fault (True), the hashes of those, and how many rows have which fault."""

    fit: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    faults: Counter[str]


def survey(files: Sequence[CorpusFile], rules: CleaningRules) -> Survey:
    """Read all files once; of duplicates the first is kept, in the order of files and rows."""
    scans = [_scan(file, rules) for file in files]
    repeated = _repeated(np.concatenate([scan.hashes for scan in scans])) if rules.duplicates == "drop" else None
    kept, reports, digest, start = [], [], hashlib.blake2b(digest_size=16), 0
    for file, scan in zip(files, scans, strict=True):
        stop = start + len(scan.hashes)
        if repeated is not None:
            scan.fit[scan.fit] = ~repeated[start:stop]
            scan.faults["duplicate"] = int(repeated[start:stop].sum())
        start = stop
        rows = KeptRows(len(scan.fit), int(scan.fit.sum()), np.packbits(scan.fit))
        kept.append(rows)
        dropped = {reason: scan.faults[reason] for reason in REASONS if scan.faults[reason]}
        reports.append(FileReport(file.short_name, file.languages, file.weight, rows.count, dropped))
        digest.update(scan.hashes.tobytes() + rows.bits.tobytes())
    return Survey(CorpusReport(tuple(reports)), tuple(kept), digest.hexdigest())


def _scan(file: CorpusFile, rules: CleaningRules) -> _FileScan:
    fit, hashes, faults = bytearray(), array("Q"), Counter[str]()
    for source, target in read_pairs(file.path, file.languages):
        texts = rules.tidy(source), rules.tidy(target)
        fault = rules.fault(texts, file.languages)
        fit.append(fault is None)
        if fault:
            faults[fault] += 1
        else:
            hashes.append(_hash(texts, file.languages))
    return _FileScan(np.array(fit, dtype=np.bool_), np.array(hashes, dtype=np.uint64), faults)


def _hash(texts: tuple[str, str], languages: tuple[str, str]) -> int:
    """64 bits that are the same for a pair in either direction, on every machine and in every process.

    Among 100 million pairs, two different ones share their hash with a probability below 1 in 3,000.
    """
    order = slice(None) if languages[0] < languages[1] else slice(None, None, -1)
    label = "\0".join((*languages[order], *texts[order]))
    return int.from_bytes(hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _repeated(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """True where a hash has stood before."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    repeated = np.zeros(len(hashes), dtype=np.bool_)
    repeated[order[1:]] = ordered[1:] == ordered[:-1]
    return repeated
