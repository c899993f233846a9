"""The recipes in docs/engines.md run on `datasets`, Spark and Ray, if they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recipes import read_recipe, run_recipes

import padmask

DOCUMENT = Path(__file__).parent.parent / "docs" / "engines.md"
MAXLEN = 4
COLUMNS = {"input_ids": 0, "scores": -1.0}
TABLE = pa.table(
    {
        "id": pa.array(range(50)),
        "input_ids": pa.array([list(range(i % 7)) for i in range(50)], pa.list_(pa.int32())),
        "scores": pa.array([[float(i)] * (i % 7) for i in range(50)], pa.list_(pa.float64())),
    }
)

pytestmark = [
    pytest.mark.skipif(not DOCUMENT.exists(), reason="the document is not part of this installation"),
    # Ignore warnings of Spark and Ray.
    pytest.mark.filterwarnings("ignore"),
]


def wanted() -> list[dict[str, Any]]:
    return padmask.pad_table(TABLE, COLUMNS, padmask.PadSpec(maxlen=MAXLEN)).to_pylist()


@pytest.mark.slow
def test_datasets_recipe() -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    known = run_recipes(DOCUMENT, "datasets")
    ids = [[1, 2, 3], [4], [5, 6]]
    data = datasets.Dataset.from_dict({"input_ids": ids, "labels": ids})
    padded = known["pad_rows"](data, 3)
    assert padded[1] == {"input_ids": [4, 0, 0], "labels": [4, -100, -100], "attention_mask": [1, 0, 0]}
    packed = known["pack_rows"](data, 4)
    assert packed["input_ids"][:] == [[1, 2, 3, 4], [5, 6]]
    assert packed["seq_lengths"][:] == [[3, 1], [2]]


def test_spark_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = pytest.importorskip("pyspark.sql")
    pytest.importorskip("pandas", reason="Spark needs it for Arrow")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    session = sql.SparkSession.builder.master("local[2]")
    for name, value in {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
    }.items():
        session = session.config(name, value)
    spark = session.getOrCreate()
    try:
        known = run_recipes(DOCUMENT, "spark")
        rows = [tuple(row.values()) for row in TABLE.to_pylist()]
        frame = spark.createDataFrame(rows, "id long, input_ids array<int>, scores array<double>")
        padded = known["pad_dataframe"](frame.repartition(3), COLUMNS, MAXLEN).toArrow()
        assert padded.sort_by("id").to_pylist() == wanted()
        none = known["pad_dataframe"](frame.where("id < 0"), COLUMNS, MAXLEN).toArrow()
        assert (none.num_rows, none.schema.names) == (0, [*TABLE.schema.names, "mask"])
    finally:
        spark.stop()


# Ray listens on all interfaces; only loopback is allowed here.
_RAY = """
import sys, ray, ray.data
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
exec(Path(sys.argv[1]).read_text())
ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
data = ray.data.read_parquet(sys.argv[2])
padded = pad_dataset(data, {columns!r}, {maxlen})
pq.write_table(pa.concat_tables(ray.get(padded.to_arrow_refs())), sys.argv[3])
ray.shutdown()
"""


def test_ray_recipe(tmp_path: Path) -> None:
    pytest.importorskip("ray.data")
    alone = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace can be had here, and Ray would listen on all interfaces")
    code, source, output = tmp_path / "recipe.py", tmp_path / "in", tmp_path / "out.parquet"
    code.write_text(read_recipe(DOCUMENT, "ray"))
    source.mkdir()
    for i in range(3):
        pq.write_table(TABLE.slice(i * 17, 17), source / f"{i}.parquet")
    run = _RAY.format(columns=COLUMNS, maxlen=MAXLEN)
    env = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    command = [*alone, sys.executable, "-c", run, *map(str, (code, source, output))]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert pq.read_table(output).sort_by("id").to_pylist() == wanted()
