"""Configurations: what a run was decided with, under a hash that is the same wherever and whenever it is taken."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from inframind.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What may be chosen and who chooses, without addresses and secrets.

    Attributes:
        configuration_id: SHA-256 of the document, 64 hex digits.
        family: SHA-256 of the document without the policy's version: what is left when the policy learns.
        document: plain data: ``models``, ``strategies``, ``topologies``, ``roles``, ``role_texts``, ``max_team``,
            ``cost_unit``, ``rules``, ``tools``, ``policy`` (name, version, exploration, ...). Keys in any order; lists
            in the order that means something.
    """

    configuration_id: str
    family: str
    document: Mapping[str, Any]


def configuration_of(document: Mapping[str, Any]) -> Configuration:
    """The configuration that a document describes.

    Raises:
        ConfigError: it is not plain JSON data.
    """
    policy = {key: value for key, value in document.get("policy", {}).items() if key != "version"}
    return Configuration(
        configuration_id=_digest(document),
        family=_digest({**document, "policy": policy}),
        document=document,
    )


def _digest(document: Mapping[str, Any]) -> str:
    try:
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise ConfigError(
            "configuration", type(document).__name__, f"use plain JSON data: {error}"
        ) from error
    return hashlib.sha256(text).hexdigest()
