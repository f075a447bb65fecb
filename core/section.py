"""What every part of the settings is: known keys only, never changed after loading."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of all tables in `weir.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
