"""The table `[tool.trapgate]` of pyproject.toml, for what neither an option nor an ini option of pytest gives."""

from __future__ import annotations

import pytest

from harness.probes.project_settings import ProjectSettings, SettingsError, find_settings

__all__ = ["project_settings"]

_SETTINGS: pytest.StashKey[ProjectSettings] = pytest.StashKey()


def project_settings(config: pytest.Config) -> ProjectSettings:
    """The settings of the nearest file in pytest's root folder or above it. Raises pytest.UsageError."""
    if _SETTINGS not in config.stash:
        try:
            config.stash[_SETTINGS] = find_settings(config.rootpath)
        except SettingsError as error:
            raise pytest.UsageError(f"trapgate: {error}") from error
    return config.stash[_SETTINGS]
