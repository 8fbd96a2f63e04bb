"""Which versions of the schema there are is read off the files' names, as Alembic reads them."""

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

import faregate.store
from faregate.store.versions import is_known, newest_version, versions

FOLDER = Path(faregate.store.__file__).parent / "migrations"


def test_the_names_of_the_files_say_what_the_migrations_say() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    script = ScriptDirectory.from_config(config)
    newest_first = [one.revision for one in script.walk_revisions()]
    assert list(reversed(newest_first)) == list(versions())
    assert script.get_current_head() == newest_version()


def test_a_version_that_no_file_has_is_of_a_newer_faregate() -> None:
    assert is_known("0001")
    assert not is_known("9999")
