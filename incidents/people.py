"""Who acts, and what their role permits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.errors import AccessError


class Role(StrEnum):
    """What a person may do; each includes the ones before it."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    LEAD = "lead"
    ADMIN = "admin"


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, or the system itself, acting under a role."""

    name: str
    role: Role

    def has(self, role: Role) -> bool:
        """Whether the actor may do what `role` may."""
        return _RANK[self.role] >= _RANK[role]

    def require(self, role: Role) -> None:
        """Raises AccessError when the actor's role is below `role`."""
        if not self.has(role):
            raise AccessError(
                "Not permitted", f"{self.name} is {self.role.value}", f"This needs the role {role.value}."
            )


SYSTEM = Actor("system", Role.ADMIN)


def is_reserved(name: str) -> bool:
    """Whether the system, or a user who reports, acts under this name, so that no person may."""
    return name.lower() == SYSTEM.name or name.lower().startswith("user:")
