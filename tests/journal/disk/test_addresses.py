"""An address is not taken for a path: the folder that it would name is what nobody means."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolslot import DurableExecutor, InvalidSetting
from toolslot.journal import open_journal

ADDRESS = "postgresql://me:secret@host/db"


@pytest.mark.parametrize("given", [True, False])
def test_an_address_is_refused_without_showing_it_and_makes_no_folder(
    given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLSLOT_HOME", ADDRESS)
    with pytest.raises(InvalidSetting, match="postgresql://") as refused:
        open_journal(ADDRESS if given else None)
    assert "secret" not in str(refused.value)
    with pytest.raises(InvalidSetting):
        _ = DurableExecutor(ADDRESS).journal
    assert [*tmp_path.iterdir()] == []
