"""What stops the records of a Parquet file is raised as it is, not as an exception of the writer's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from impact_cli.parquet import write_parquet
from impact_client import Unavailable


@pytest.mark.parametrize("error", [Unavailable("no response"), KeyboardInterrupt()])
def test_what_stops_the_records_is_raised(tmp_path: Path, error: BaseException) -> None:
    def records() -> Iterator[dict[str, int]]:
        yield {"requests": 1}
        raise error

    with pytest.raises(type(error)):
        write_parquet(tmp_path / "a.parquet", records(), {"requests": int})
