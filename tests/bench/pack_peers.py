"""Other tools that pack: `python pack_peers.py NAME INPUT OUTPUT MAXLEN`.

Input and output are Parquet with the column `input_ids`. Each peer is called as its documentation
recommends. Each peer imports its own libraries.
"""

from __future__ import annotations

import sys
from typing import Any

from peers import ZSTD_LEVEL, result_of
from targets import GRAIN, READ_AND_WRITE, TRL

# padmask writes row groups of about this number of positions.
GROUP_POSITIONS = 1 << 22
# More bins give fuller rows, and grain takes longer.
GRAIN_BINS = 1_024
PROCESSES = 2


def trl(source: str, destination: str, maxlen: int) -> None:
    """Pack with `pack_dataset`, and write with `to_parquet`, which always writes snappy."""
    import tempfile

    from datasets import Dataset, disable_progress_bars
    from trl import pack_dataset

    disable_progress_bars()
    # Use a new cache. Otherwise, a second run would reuse the result.
    with tempfile.TemporaryDirectory() as cache:
        rows = Dataset.from_parquet(source, cache_dir=cache)
        packed = pack_dataset(rows, maxlen, strategy="bfd", map_kwargs={"num_proc": PROCESSES})
        # padmask writes neither content-defined chunks nor a page index.
        packed.to_parquet(destination, use_content_defined_chunking=False, write_page_index=False)


def grain(source: str, destination: str, maxlen: int) -> None:
    """Pack with `BestFitPackIterDataset`, which yields arrays. Write them with pyarrow."""
    import numpy as np
    import pyarrow.parquet as pq
    from grain import MapDataset
    from grain.experimental import BestFitPackIterDataset

    chunks = pq.read_table(source)["input_ids"].chunks
    rows = [
        {"input_ids": row}
        for chunk in chunks
        for row in np.split(
            chunk.flatten().to_numpy(), (chunk.offsets.to_numpy() - chunk.offsets[0].as_py())[1:-1]
        )
    ]
    packed = BestFitPackIterDataset(
        MapDataset.source(rows).to_iter_dataset(),
        length_struct={"input_ids": maxlen},
        num_packing_bins=GRAIN_BINS,
        shuffle_bins=False,
    )
    _write(_tables(packed, max(1, GROUP_POSITIONS // maxlen)), destination, maxlen)


def _tables(rows: Any, group: int) -> Any:
    """Yield tables of at most `group` rows from dicts of arrays."""
    from itertools import islice

    import numpy as np
    import pyarrow as pa

    rows = iter(rows)
    while some := list(islice(rows, group)):
        offsets = np.arange(len(some) + 1, dtype=np.int32) * len(some[0]["input_ids"])
        yield pa.table(
            {
                name: pa.ListArray.from_arrays(offsets, np.concatenate([row[name] for row in some]))
                for name in some[0]
            }
        )


def pyarrow(source: str, destination: str, maxlen: int) -> None:
    """Do not pack: read the input, then write the packed result, which is already in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    packed = pa.ipc.open_file(pa.memory_map(result_of(source))).read_all()
    pq.read_table(source)
    _write([packed], destination, maxlen)


def _write(tables: Any, destination: str, maxlen: int) -> None:
    """Write tables with the settings of padmask."""
    import pyarrow.parquet as pq

    tables = iter(tables)
    first = next(tables)
    group = max(1, GROUP_POSITIONS // maxlen)
    with pq.ParquetWriter(destination, first.schema, compression="zstd", compression_level=ZSTD_LEVEL) as out:
        out.write_table(first, row_group_size=group)
        for table in tables:
            out.write_table(table, row_group_size=group)


# The function, the dialect of padmask with the same columns, and the packages that the peer needs.
PACK_PEERS = {
    TRL: (trl, "trl", ("trl", "datasets")),
    GRAIN: (grain, "grain", ("grain",)),
    READ_AND_WRITE: (pyarrow, "trl", ()),
}

if __name__ == "__main__":
    PACK_PEERS[sys.argv[1]][0](sys.argv[2], sys.argv[3], int(sys.argv[4]))
