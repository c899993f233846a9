"""Spark, Hugging Face `datasets` and pandas read files that padmask wrote from files that they wrote.

`pip install 'padmask[engines,bench]'` installs all three. Spark needs Java.
"""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from padmask import MaskSpec, PadSpec, pad_file, unpad_file

pytestmark = [
    pytest.mark.slow,
    # Warnings of the engines do not matter.
    pytest.mark.filterwarnings("ignore"),
]

NEAR, FAR = dt.datetime(2020, 6, 1, 12, 0, 0, 1), dt.datetime(9999, 12, 30, 1, 2, 3, 456789)
ROWS: list[tuple[Any, ...]] = [
    (1, [5, 6, 7], NEAR, [NEAR, None], (NEAR,), "a"),
    (2, [8], FAR, [], (FAR,), "b"),
    (3, [], None, None, None, None),
]
SCHEMA = """id long, input_ids array<long>, at timestamp comment 'when', times array<timestamp>,
    parts struct<t: timestamp>, s string"""
OTHERS = ["id", "at", "times", "parts", "s"]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    sql = pytest.importorskip(
        "pyspark.sql", reason="pyspark is not installed: pip install 'padmask[engines]'"
    )
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, which is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = sql.SparkSession.builder.master("local[1]")
        for name, value in {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.sql.session.timeZone": "America/New_York",
        }.items():
            session = session.config(name, value)
        engine = session.getOrCreate()
        yield engine
        engine.stop()


@pytest.mark.parametrize("times", ["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"])
@pytest.mark.parametrize("vectorized", ["true", "false"])
def test_spark_reads_what_it_wrote(spark: Any, tmp_path: Path, times: str, vectorized: str) -> None:
    spark.conf.set("spark.sql.parquet.outputTimestampType", times)
    spark.conf.set("spark.sql.parquet.enableVectorizedReader", vectorized)
    spark.createDataFrame(ROWS, SCHEMA).coalesce(1).write.parquet(str(tmp_path / "in"))
    frame = spark.read.parquet(str(tmp_path / "in"))
    pad_file(tmp_path / "in", tmp_path / "out.parquet", mask=MaskSpec(length_column="n"))
    padded = spark.read.parquet(str(tmp_path / "out.parquet"))
    assert padded.schema["at"] == frame.schema["at"]
    assert padded.orderBy("id").select(OTHERS).collect() == frame.orderBy("id").select(OTHERS).collect()
    assert padded.orderBy("id").select("input_ids", "mask", "n").collect() == [
        ([5, 6, 7], [True] * 3, 3),
        ([8, 0, 0], [True, False, False], 1),
        ([0, 0, 0], [False] * 3, 0),
    ]
    unpad_file(tmp_path / "out.parquet", tmp_path / "again.parquet")
    again = spark.read.parquet(str(tmp_path / "again.parquet")).orderBy("id")
    assert again.columns == frame.columns
    assert [row.input_ids for row in again.collect()] == [row[1] for row in ROWS]


def test_datasets_read_what_they_wrote(tmp_path: Path) -> None:
    datasets = pytest.importorskip(
        "datasets", reason="datasets is not installed: pip install 'padmask[bench]'"
    )
    features = datasets.Features(
        {
            "input_ids": datasets.List(datasets.Value("int64")),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
            "x": datasets.Array2D(shape=(2, 2), dtype="float32"),
            "y": datasets.Array2D(shape=(2, 2), dtype="float32"),
        }
    )
    matrix = [[1.0, 2.0], [3.0, 4.0]]
    rows = {"input_ids": [[1, 2], [3, 4]], "label": [0, 1], "x": [matrix] * 2, "y": [matrix] * 2}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "in.parquet"))
    pad_file(
        tmp_path / "in.parquet", tmp_path / "out.parquet", columns=["input_ids", "x"], spec=PadSpec(maxlen=3)
    )
    padded = datasets.Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    assert padded.features["label"].names == ["neg", "pos"]
    assert padded.features["y"] == features["y"]
    assert padded[1] == {
        "input_ids": [3, 4, 0],
        "label": 1,
        "x": [*matrix, [0.0, 0.0]],
        "y": matrix,
        "mask": [True, True, False],
    }


def test_pandas_reads_what_it_wrote(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed: pip install 'padmask[engines]'")
    index = pd.Index(["r", "s"], name="key")
    columns = {
        "input_ids": [[1, 2], [3]],
        "kind": pd.Categorical(["a", "b"]),
        "n": pd.array([1, None], "Int64"),
    }
    frame = pd.DataFrame(columns, index=index)
    frame.to_parquet(tmp_path / "in.parquet")
    pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet")
    padded = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(padded[["kind", "n"]], frame[["kind", "n"]])
    assert [list(row) for row in padded["input_ids"]] == [[1, 2], [3, 0]]
    assert [list(row) for row in padded["mask"]] == [[True, True], [True, False]]
