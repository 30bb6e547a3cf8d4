"""What every step's settings have in common."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of a step: frozen, unknown keys refused, each field documented by its docstring."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
