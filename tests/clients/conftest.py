"""These tests have an environment of their own, with the SDKs of the providers: `make test-clients`."""

from __future__ import annotations

import importlib.util

import pytest

pytest.register_assert_rewrite("clients.trials")

# Where the SDKs are not installed there is nothing to collect.
collect_ignore_glob = [] if importlib.util.find_spec("openai") else ["test_*.py"]
