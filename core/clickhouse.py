"""ClickHouse as the store that reports read, for teams that outgrow one machine. Needs the extra `clickhouse`; import it late."""

from __future__ import annotations

from typing import Any

import clickhouse_connect
import ibis
import polars as pl
import sqlglot.expressions as sge
from clickhouse_connect.driver.exceptions import ClickHouseError
from ibis.backends.clickhouse import Backend
from ibis.backends.sql.compilers.clickhouse import ClickHouseCompiler

from core.errors import ConfigError


class _Compiler(ClickHouseCompiler):  # type: ignore[misc]  # Ibis has no types
    """Ibis' own dialect, except that a quantile is the exact one, as DuckDB's is; ClickHouse's plain `quantile` samples."""

    __slots__ = ()

    def visit_Quantile(self, _op: Any, *, arg: Any, quantile: Any, where: Any) -> sge.Expression:  # noqa: N802  Ibis' name
        expression: sge.Expression = self._visit_quantile("quantileExactInclusive", arg, quantile, where)
        return expression


class ClickHouse(Backend):  # type: ignore[misc]  # Ibis has no types
    """Ibis on ClickHouse, whose answers have the types that the expression declares."""

    compiler = _Compiler()

    def to_polars(self, expr: ibis.Expr, /, **_options: Any) -> pl.DataFrame:
        """The rows of `expr`. ClickHouse answers truth as small integers, and times with a zone."""
        table = expr.as_table()
        answer = self.con.query_arrow(self.compile(table)).cast(table.schema().to_pyarrow())
        rows = pl.from_arrow(answer)
        if not isinstance(rows, pl.DataFrame):
            raise TypeError("a table gives a frame")
        return rows


def open_clickhouse(url: str) -> ClickHouse:
    """A backend on the database of `url`, which holds the canonical tables (docs/clickhouse.md).

    Args:
        url: clickhouse://user:password@host:port/database, or chdb://memory for the engine in this process.

    Raises:
        ConfigError: Nobody answers there, or the address is none.
    """
    try:
        client = clickhouse_connect.get_client(dsn=url, settings={"session_timezone": "UTC"})
    except (ClickHouseError, ValueError) as error:
        host = url.rpartition("@")[2]
        raise ConfigError("ClickHouse cannot be reached", host, "Write clickhouse://host:8123/database.") from error
    backend: ClickHouse = ClickHouse.from_connection(client)
    return backend
