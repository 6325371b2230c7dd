"""The role catalogue: data, not code. Extend it with a TOML file of the same form."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from inframind.errors import ConfigError

DOMAINS = ("math", "code", "knowledge", "general")


class RoleSpec(BaseModel):
    """Who an agent is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    """Unique name."""
    prompt: str = Field(min_length=1)
    """Who the agent is and what it looks at; nothing about length or format."""
    domains: tuple[str, ...]
    """Domains that may seat it; empty for roles that are only used by name, such as the judge."""


_ROLES = TypeAdapter(tuple[RoleSpec, ...])


def default_roles() -> tuple[RoleSpec, ...]:
    """The catalogue that ships with the package."""
    text = resources.files("inframind.graphs").joinpath("roles.toml").read_text(encoding="utf-8")
    return parse_roles(text, "roles.toml")


def load_roles(path: Path) -> tuple[RoleSpec, ...]:
    """A catalogue from a TOML file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or holds an impossible role.
    """
    try:
        return parse_roles(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError("roles_file", str(path), f"cannot be read: {error.strerror}") from error


def parse_roles(text: str, where: str) -> tuple[RoleSpec, ...]:
    """A catalogue from TOML text with ``[[roles]]`` tables; ``where`` names it in errors.

    Raises:
        ConfigError: not TOML, or an impossible role.
    """
    try:
        tables = tomllib.loads(text).get("roles", [])
        return _ROLES.validate_python(tables)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(where, "", f"not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(["roles", *(str(part) for part in first["loc"])])
        raise ConfigError(f"{where}: {field}", first["input"], first["msg"]) from error


def merge_roles(*catalogues: Iterable[RoleSpec]) -> Mapping[str, RoleSpec]:
    """Roles by name; a later catalogue replaces a role of the same name."""
    return {role.name: role for catalogue in catalogues for role in catalogue}


def digests_of(roles: Mapping[str, RoleSpec]) -> Mapping[str, str]:
    """16 hex digits of each role's prompt, by name."""
    return {name: hashlib.sha256(role.prompt.encode()).hexdigest()[:16] for name, role in roles.items()}


def roles_by_domain(roles: Mapping[str, RoleSpec]) -> Mapping[str, tuple[str, ...]]:
    """Role names of each domain, in catalogue order."""
    domains = dict.fromkeys([*DOMAINS, *(domain for role in roles.values() for domain in role.domains)])
    by_domain = {
        domain: tuple(role.name for role in roles.values() if domain in role.domains) for domain in domains
    }
    return {domain: names for domain, names in by_domain.items() if names}
