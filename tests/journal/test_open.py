"""Which back end a path or an address names."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support.harness import batch
from toolslot import DurableExecutor, InvalidSetting, JournalUnavailable
from toolslot.journal import examine, journal_location, open_journal

ADDRESS = "remembered://me:secret@host/db"

BACK_END = '''
"""A back end of another package, loaded when an address asks for it."""

from toolslot import MemoryJournal
from toolslot.journal import MemoryStore

STORE = MemoryStore()
ASKED = []


def open_remembered(address, *, read_only, encryption):
    ASKED.append((address, read_only, encryption is not None))
    return MemoryJournal(STORE)
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the import path, as `pip install` leaves a package there."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "remembering_journal.py").write_text(BACK_END)
    offer(site, "remembering", "remembered", "remembering_journal:open_remembered")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "remembering_journal", raising=False)
    return site


def offer(site: Path, package: str, scheme: str, value: str) -> None:
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[toolslot.journals]\n{scheme} = {value}\n")


@pytest.mark.usefixtures("installed")
def test_an_address_is_opened_by_the_package_that_offers_its_scheme(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.iterdir()}
    assert DurableExecutor(ADDRESS).run_all(batch("t"), {"t": lambda i: i + 1}) == [1]
    monkeypatch.setenv("TOOLSLOT_HOME", ADDRESS.replace("remembered", "Remembered"))
    assert DurableExecutor().run_all(batch("t"), {"t": lambda i: pytest.fail("it is recorded")}) == [1]
    with closing(open_journal(read_only=True)) as journal:
        assert [key.run_id for key in journal.keys().result()] == ["run-1"]
    from remembering_journal import ASKED

    assert [(read_only, encrypted) for _, read_only, encrypted in ASKED] == [(False, False)] * 2 + [
        (True, False)
    ]
    assert ASKED[0][0] == ADDRESS
    assert {*tmp_path.iterdir()} == before


@pytest.mark.usefixtures("installed")
def test_a_back_end_is_loaded_only_when_an_address_asks_for_it(tmp_path: Path) -> None:
    code = (
        "import sys; from toolslot.journal import open_journal; open_journal(sys.argv[1]).close();"
        " assert 'remembering_journal' not in sys.modules;"
        " open_journal('remembered://').close(); assert 'remembering_journal' in sys.modules"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {code}",
            tmp_path / "j",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_error_for_an_address_that_nothing_opens_says_what_to_install_and_hides_the_address() -> None:
    with pytest.raises(InvalidSetting, match=r"'remembered' in the group 'toolslot\.journals'") as refused:
        open_journal(ADDRESS)
    assert "secret" not in str(refused.value)


def test_two_packages_for_one_scheme_are_refused_by_name(installed: Path) -> None:
    offer(installed, "another", "remembered", "another_journal:open_it")
    with pytest.raises(InvalidSetting, match="another_journal:open_it, remembering_journal:open_remembered"):
        open_journal(ADDRESS)


def test_a_back_end_whose_driver_is_missing_says_so(installed: Path) -> None:
    offer(installed, "driverless", "driverless", "driverless_journal:open_it")
    (installed / "driverless_journal.py").write_text("import a_driver_that_is_not_installed\n")
    with pytest.raises(JournalUnavailable, match="driverless_journal:open_it") as refused:
        open_journal("driverless://me:secret@host")
    assert isinstance(refused.value.__cause__, ImportError)
    assert "secret" not in str(refused.value)


def test_a_location_stays_the_same_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOOLSLOT_HOME", raising=False)
    assert journal_location() == str(tmp_path / ".toolslot")
    assert journal_location("here") == str(tmp_path / "here")
    assert journal_location(ADDRESS) == ADDRESS


def test_the_journal_that_is_examined_is_the_one_that_would_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "home"))
    with closing(open_journal()) as journal:
        assert examine().path == journal.location
        assert examine().sound
    with pytest.raises(InvalidSetting, match="remembered://"):
        examine(ADDRESS)
    with pytest.raises(JournalUnavailable):
        examine(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_an_agent_loads_no_doctor(tmp_path: Path) -> None:
    code = (
        "import sys; from toolslot.journal import open_journal; open_journal(sys.argv[1]).close();"
        " print(*sorted(name for name in sys.modules if name.startswith('toolslot.journal._doctor.')))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["toolslot.journal._doctor._findings"]


def test_only_the_public_face_names_the_disk_journal() -> None:
    core = Path(sys.modules["toolslot"].__file__ or "").parent
    naming = {
        str(path.relative_to(core))
        for path in core.rglob("*.py")
        if "DiskJournal" in path.read_text(encoding="utf-8") and "_disk" not in path.parts
    }
    assert naming == {"__init__.py", "journal/__init__.py"}
